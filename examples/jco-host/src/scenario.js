// Runs the scenario file (`tests/scenario`) on this host against the fake TikTok Shop.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Egress } from './egress.js';
import { ConnectorError, Host } from './host.js';
import { createStorage } from './storage.js';

const ROOT = new URL('../../../', import.meta.url);
const STATE = 'st-8kQ2vXw0Zr5LmN7pTfBh3A';
const NOWHERE = '127.0.0.1:9'; // no server listens on the port of the discard protocol
const PROGRAM = process.env.FAKE_TIKTOK_SHOP ?? fileURLToPath(new URL('target/debug/fake-tiktok-shop', ROOT));

/** A fake TikTok Shop in a process of its own. */
export class Fake {
  static async start() {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run \`cargo build --bin fake-tiktok-shop\``);
    const fake = new Fake();
    fake.process = spawn(PROGRAM, ['--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface(fake.process.stdout)) {
      const { address, apps } = JSON.parse(line);
      return Object.assign(fake, { address, app: apps[0] });
    }
    throw new Error(`${PROGRAM} did not start`);
  }

  async ask(method, path, body) {
    const headers = { 'content-type': 'application/json' };
    const request = { method, headers, body: body && JSON.stringify(body) };
    const answer = await fetch(`http://${this.address}/_control${path}`, request);
    const text = await answer.text();
    assert.ok(answer.ok, text);
    return text && JSON.parse(text);
  }

  stop() {
    this.process.kill();
  }
}

/** One scenario: a fresh fake, an empty storage and a host. */
export class Stage {
  callback = '';
  aheadMs = 0;
  throws = null;
  races = new Map();
  ciphersReadable = true;

  constructor(fake, settings = {}, egress = {}) {
    const now = () => Date.now() + this.aheadMs;
    const { app_key: appKey, app_secret: appSecret, authorization_link: authorizationLink } = fake.app;
    this.fake = fake;
    this.egress = new Egress({ standIn: fake.address, requestMs: settings['request-deadline-ms'], ...egress });
    const apps = { [appKey]: { appKey, appSecret, authorizationLink, allowHttpLink: false } };
    this.host = new Host({ storage: this.troubled(createStorage(now)), apps, egress: this.egress, now });
  }

  /** Returns the storage with the races and failures of the scenario. */
  troubled({ accounts, list, load, swap, owners }) {
    const before = (name, run) => {
      this.before(name);
      return run();
    };
    const readable = ({ account, entry }) =>
      this.ciphersReadable ? { account, entry } : { account, entry: { ...entry, secrets: new Uint8Array() } };
    return {
      accounts: (...values) => before('accounts', () => accounts(...values)),
      list: (...values) => before('list', () => list(...values).map(readable)),
      load: (table, ...values) => before(`load(${table})`, () => load(table, ...values)),
      swap: (table, ...values) => before(`swap(${table})`, () => swap(table, ...values)),
      owners: (...values) => before('owners', () => owners(...values)),
    };
  }

  /** Runs before each function of the storage. */
  before(name) {
    const steps = this.races.get(name) ?? [];
    this.races.delete(name);
    for (const { call, with: values, expect } of steps) {
      try {
        this.call(call, values, expect);
      } catch (thrown) {
        this.mismatch = thrown; // the host takes every exception here for a failure of the storage
      }
    }
    if (this.throws?.function !== name) return;
    if (this.throws.after > 0) {
      this.throws.after -= 1;
    } else if (this.throws.times !== 0) {
      if (this.throws.times !== null) this.throws.times -= 1;
      throw new Error('the scenario lets the storage throw');
    }
  }

  async step(step) {
    const { service_id } = this.fake.app;
    const [kind] = Object.keys(step);
    const value = step[kind];
    switch (kind) {
      case 'call':
        if (value === 'receive-webhook') await this.takeWebhook();
        this.call(value, step.with, step.expect);
        if (value === 'receive-webhook' && step.expect.ok) await this.answerWebhook();
        return;
      case 'consent': {
        const answer = await this.fake.ask('POST', '/consent', { service_id, state: STATE, ...value });
        this.callback = answer.callback_query;
        return;
      }
      case 'advance':
        await this.fake.ask('POST', '/clock/advance', { seconds: value });
        this.aheadMs += value * 1000;
        return;
      case 'fault':
        return this.fake.ask('POST', '/faults', value);
      case 'switches':
        return this.fake.ask('PATCH', '/switches', value);
      case 'seller':
        return this.fake.ask('POST', `/sellers/${value}/${step.does}`, { service_id });
      case 'requests': {
        const counts = {};
        for (const { path } of await this.fake.ask('GET', '/requests')) counts[path] = (counts[path] ?? 0) + 1;
        await this.fake.ask('DELETE', '/requests');
        return assert.deepEqual(counts, value);
      }
      case 'storage-throws':
        this.throws = value && { ...value };
        return;
      case 'race':
        return this.races.set(value.before, value.steps);
      case 'upstream':
        this.egress.standIn = value === 'up' ? this.fake.address : NOWHERE;
        return;
      case 'ciphers':
        this.ciphersReadable = value === 'readable';
        return;
      default:
        throw new Error(`unknown step ${kind}`);
    }
  }

  call(name, values, expected) {
    const actual = this.outcome(name, values);
    assert.ok(!this.mismatch, `in the race: ${this.mismatch?.message}`);
    const text = `${name}\n  expected ${JSON.stringify(expected)}\n  but was  ${JSON.stringify(actual)}`;
    assert.ok(matches(expected, actual), text);
  }

  outcome(name, values) {
    try {
      const method = name === 'call' ? 'callExport' : name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
      return { ok: this[method](values) };
    } catch (thrown) {
      if (thrown instanceof ConnectorError) return { error: thrown.action, code: thrown.failure.code };
      throw thrown;
    }
  }

  connect({ customer, shops, state = STATE }) {
    const callback = { query: this.callback, state };
    return connection(this.host.call('connect', customer, undefined, { tag: 'callback', val: callback }, shops));
  }

  refresh({ customer, rotation }) {
    const refreshed = this.host.call('refresh', customer, undefined, rotation);
    return { effect: refreshed.effect.tag, connection: connection(refreshed.connection) };
  }

  listShops({ customer }) {
    return this.host.call('listShops', customer).map(({ id }) => id);
  }

  listConnections({ customer }) {
    return this.host.call('listConnections', customer).map(connection);
  }

  // The name of the export is `call`, and so is the method that checks a step.
  callExport({ customer, shop, method, path, query, body }) {
    const scope = { tag: 'shop', val: shop };
    const request = { scope, method, path, query, body: new TextEncoder().encode(body), maxResponseBytes: 1_000_000 };
    const answer = this.host.call('call', customer, request);
    return { 'http-status': answer.httpStatus, code: answer.code ?? null };
  }

  disconnect({ customer, target, remote }) {
    assert.equal(target, 'all');
    const { remaining, notRevoked } = this.host.call('disconnect', customer, { tag: 'all' }, remote);
    return { remaining: remaining.map(connection), 'not-revoked': notRevoked.map(({ shop }) => shop) };
  }

  receiveWebhook({ body }) {
    const [, signature] = this.due.headers.find(([name]) => name.toLowerCase() === 'authorization');
    const sent = new TextEncoder().encode(this.due.body + (body === 'tampered' ? ' ' : ''));
    const webhook = this.host.call('receiveWebhook', undefined, signature, sent);
    const owners = webhook.owners.map(({ key, mayUse }) => ({ customer: key.customer, 'may-use': mayUse }));
    return { 'event-type': webhook.eventType, shop: webhook.shop ?? null, effect: webhook.effect, owners };
  }

  async takeWebhook() {
    [this.due] = await this.fake.ask('GET', '/webhooks');
  }

  answerWebhook() {
    return this.fake.ask('POST', `/webhooks/${this.due.number}/answer`, { status: 200 });
  }
}

/** What the scenario file says about a connection. */
function connection({ key, sellerName, status, shops, lastFailure }) {
  return {
    customer: key.customer,
    seller: sellerName,
    status: status.tag,
    shops: shops.map(({ id, standing, linked, cipher }) => ({ id, standing, linked, cipher: cipher !== undefined })),
    'last-failure': lastFailure?.failure.code ?? null,
  };
}

/** An object matches if its members match those of the same name. Everything else must be equal. */
function matches(expected, actual) {
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || expected.length !== actual.length) return false;
    return expected.every((it, at) => matches(it, actual[at]));
  }
  if (expected === null || typeof expected !== 'object') return expected === actual;
  if (actual === null || typeof actual !== 'object') return false;
  return Object.entries(expected).every(([name, it]) => matches(it, actual[name]));
}

async function main() {
  const { scenarios } = JSON.parse(readFileSync(new URL('tests/scenario/scenario.json', ROOT), 'utf8'));
  let failed = 0;
  for (const { name, host, steps } of scenarios) {
    const fake = await Fake.start();
    let at = 0;
    try {
      const stage = new Stage(fake, host);
      for (const step of steps) {
        at += 1;
        await stage.step(step);
      }
      console.log(`ok      ${name}`);
    } catch (thrown) {
      failed += 1;
      console.log(`FAILED  ${name}\n  step ${at}: ${thrown.message ?? thrown}`);
    } finally {
      fake.stop();
    }
  }
  console.log(`jco host: ${scenarios.length - failed} scenarios passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
