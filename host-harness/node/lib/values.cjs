'use strict';
// Converts values between JavaScript and the JSON that the addon reads and writes.

const { isArrayBuffer, isDate } = require('node:util/types');
const { errorOf } = require('./errors.cjs');
const { REDACTED, Secret } = require('./secret.cjs');

/** Returns a value as plain JSON: secrets as their texts, and times as seconds since 1970. */
function plain(value) {
  if (value instanceof Secret) return value.expose();
  if (isDate(value)) return seconds(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  }
  return value;
}

/** The secrets that the platform makes or keeps itself. Other secrets, such as `query`, arrive from a browser. */
const OWN_SECRETS = new Set([
  'appSecret',
  'previousAppSecret',
  'browser',
  'state',
  'refreshToken',
  'accessToken',
]);

/** Returns arguments or options as JSON. Refuses a value that JSON does not have, because a default would replace it. */
function argumentsOf(named) {
  return JSON.stringify(plain(named), argument);
}

function argument(name, value) {
  const refused = (why) => refuse(`${Array.isArray(this) ? 'an entry of a list' : name}: ${why}`);
  if (typeof value === 'number' && !Number.isFinite(value)) refused('the number is not finite');
  if (['bigint', 'function', 'symbol'].includes(typeof value)) refused(`a ${typeof value} is not expected here`);
  if (OWN_SECRETS.has(name) && typeof value === 'string' && value.includes(REDACTED)) {
    refused('the value is the text of a Secret that was printed; give the Secret itself, or what `expose` returns');
  }
  return value;
}

/** Refuses times that are no `Date`. A number could be milliseconds, and the addon would read it as seconds. */
function checkTimes(named, names) {
  for (const name of names) {
    const time = named[name];
    if (!(time === undefined || time === null || isDate(time))) refuse(`${name}: give a Date`);
  }
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

const QUERY = 'query: give an object, URLSearchParams, or pairs of a name and a value';
const BODY = 'body: give a plain object or an array, which is sent as JSON, or a text, or bytes';
const HALF = 'body: the text has half of a surrogate pair';
const MEMBER = 'body: a member is no plain object, array, text, number or boolean, and has no function toJSON';
const RAW = 'body: give the bytes of the body as they arrived, for example with express.raw(), not a parsed body';

/** Returns the query of a call as pairs. Leaves out members that are undefined. */
function pairs(query) {
  if (query === undefined) return [];
  return entriesOf(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, textOf(name, value)]);
}

function entriesOf(query) {
  if (isPlain(query)) return Object.entries(query);
  if (typeof query !== 'object' || typeof query?.[Symbol.iterator] !== 'function') throw new TypeError(QUERY);
  const entries = [...query];
  const isPair = (entry) => Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string';
  if (!entries.every(isPair)) throw new TypeError(QUERY);
  return entries;
}

/** Returns the text of a value in a query. */
function textOf(name, value) {
  const isSent = ['string', 'bigint', 'boolean'].includes(typeof value) || Number.isFinite(value);
  if (!isSent) throw new TypeError(`query: ${name} is no string, finite number, bigint or boolean`);
  return String(value);
}

/** Whether a value is a plain object: not an object of a class. The object may come from another realm. */
function isPlain(value) {
  if (typeof value !== 'object' || value === null || typeof value[Symbol.iterator] === 'function') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Returns the body of a call as bytes, or `null` if the call has no body. */
function bodyBytes(body) {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return body.isWellFormed() ? Buffer.from(body, 'utf8') : refuse(HALF);
  const isJson = isPlain(body) || Array.isArray(body) || typeof body === 'boolean' || Number.isFinite(body);
  return bytesOf(body) ?? (isJson ? Buffer.from(JSON.stringify(body, checked), 'utf8') : refuse(BODY));
}

/** Returns the body of a webhook as bytes. The signature covers the bytes, so a text or an object does not do. */
function rawBytes(body) {
  return bytesOf(body) ?? refuse(RAW);
}

/** Returns bytes as a Buffer with the same memory. Returns `null` for a value that is not bytes. */
function bytesOf(value) {
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return isArrayBuffer(value) ? Buffer.from(value) : null;
}

/** Returns a value of a JSON body, after its `toJSON`. Refuses a value of which JSON would contain something else. */
function checked(name, value) {
  const isHidden = this[name] instanceof Secret || ArrayBuffer.isView(this[name]);
  const isPart = typeof value !== 'object' || value === null || Array.isArray(value) || isPlain(value);
  // In place of these values, JSON would contain null or nothing. A member that is undefined is left out on purpose.
  const isLost =
    ['function', 'symbol'].includes(typeof value) ||
    (typeof value === 'number' && !Number.isFinite(value)) ||
    (value === undefined && Array.isArray(this));
  return isPart && !isHidden && !isLost ? value : refuse(MEMBER);
}

function refuse(text) {
  throw new TypeError(text);
}

module.exports = {
  argumentsOf,
  bodyBytes,
  CallResponse,
  checkTimes,
  connection,
  connections,
  disconnected,
  events,
  existingGrant,
  pairs,
  pendingInstall,
  plain,
  rawBytes,
  refreshed,
  swept,
  validToken,
  webhook,
};
