'use strict';
// Converts values between JavaScript and the JSON that the addon reads and writes.

const { errorOf } = require('./errors.cjs');
const { Secret } = require('./secret.cjs');

/** Returns a value as plain JSON: secrets as their texts, and times as seconds since 1970. */
function plain(value) {
  if (value instanceof Secret) return value.expose();
  if (value instanceof Date) return seconds(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  }
  return value;
}

function seconds(date) {
  const milliseconds = date.getTime();
  if (Number.isNaN(milliseconds)) throw new TypeError('a time is an invalid Date');
  return Math.max(0, Math.floor(milliseconds / 1000));
}

/** Returns an object whose members of these names are times. */
function withDates(object, names) {
  const dated = { ...object };
  for (const name of names) dated[name] = date(dated[name]);
  return dated;
}

function date(at) {
  return at === null || at === undefined ? null : new Date(at * 1000);
}

const TIMES = [
  'endsAt',
  'accessExpiresAt',
  'refreshExpiresAt',
  'authorizationEndsAt',
  'connectedAt',
  'grantedAt',
  'refreshedAt',
  'shopsSyncedAt',
];

function connection(value) {
  const { lastFailure } = value;
  return { ...withDates(value, TIMES), lastFailure: lastFailure && withDates(lastFailure, ['at']) };
}

const connections = (values) => values.map(connection);

function refreshed(value) {
  const { nothingSent } = value;
  return { ...value, connection: connection(value.connection), nothingSent: nothingSent && errorOf(nothingSent) };
}

function validToken(value) {
  return { ...withDates(value, ['expiresAt']), token: new Secret(value.token) };
}

function existingGrant(value) {
  const { refreshToken, accessToken } = value;
  const secrets = { refreshToken: new Secret(refreshToken), accessToken: accessToken && new Secret(accessToken) };
  return { ...withDates(value, ['accessTokenEnds', 'refreshTokenEnds']), ...secrets };
}

function pendingInstall(value) {
  return { ...value, id: new Secret(value.id) };
}

function disconnected(value) {
  return { ...value, remaining: connections(value.remaining) };
}

const webhook = (value) => withDates(value, ['occurredAt']);
const events = (values) => values.map((value) => withDates(value, ['at', 'endsAt']));

function swept(value) {
  const outcome = (one) => ({ ...withDates(one, ['until']), error: one.error && errorOf(one.error) });
  return { ...value, notRefreshed: value.notRefreshed.map(outcome) };
}

/** The answer of TikTok Shop to a signed call. */
class CallResponse {
  constructor({ httpStatus, code, requestId, contentType, isSuccess }, body) {
    Object.assign(this, { httpStatus, code, requestId, contentType, isSuccess, body });
  }

  text() {
    return this.body.toString('utf8');
  }

  json() {
    return JSON.parse(this.text());
  }
}

/** Returns the query of a call as pairs. */
function pairs(query) {
  if (query === undefined) return [];
  const entries = typeof query[Symbol.iterator] === 'function' ? [...query] : Object.entries(query);
  return entries.map(([name, value]) => [name, String(value)]);
}

/** Returns the body of a call as bytes. */
function bytes(body) {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return Buffer.from(body, 'utf8');
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return Buffer.from(JSON.stringify(body), 'utf8');
}

module.exports = {
  bytes,
  CallResponse,
  connection,
  connections,
  disconnected,
  events,
  existingGrant,
  pairs,
  pendingInstall,
  plain,
  refreshed,
  swept,
  validToken,
  webhook,
};
