// Runs the scenario file (`tests/scenario` of the repository) on the package, with a storage in JavaScript.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Host, TikTokShopError } from 'tiktok-shop-connector';
import { Fake } from './fake.mjs';
import { MemoryStorage } from './memory-storage.mjs';
import { compiledCache } from './stage.mjs';

const STATE = 'st-8kQ2vXw0Zr5LmN7pTfBh3A';
const tenant = 'tenant-1';
const KEYS = { text: `scenario:${'5a'.repeat(32)}` };
const OTHER_KEYS = { text: `other:${'3c'.repeat(32)}` };

/** The functions of the storage that a scenario names. */
const FUNCTIONS = {
  accounts: 'accounts',
  loadToken: 'load(tokens)',
  swapToken: 'swap(tokens)',
  listRows: 'list',
  loadRow: 'load(rows)',
  swapRow: 'swap(rows)',
  owners: 'owners',
};

/** One scenario: a fresh fake, an empty storage and a host. */
class Stage {
  callback = '';
  ahead = 0;
  throws = null;
  races = new Map();
  upstream = 'up';
  ciphers = 'readable';

  constructor(fake, settings = {}) {
    this.fake = fake;
    this.settings = settings;
    const storage = new MemoryStorage(() => performance.now() + this.ahead * 1000);
    const before = (name) => this.before(name);
    this.storage = new Proxy(storage, {
      get: (target, name) => async (named) => {
        await before(FUNCTIONS[name]);
        return target[name](named);
      },
    });
  }

  /** Opens the host anew, with what the steps have arranged. */
  async open() {
    await this.host?.close();
    // The host opens only if the fake answers. If the scenario needs a fake that is down, start a second fake, open the
    // host with it, and then stop it.
    const down = this.upstream === 'up' ? null : await Fake.start();
    const wait = this.settings['request-deadline-ms'];
    const save = this.settings['save-deadline-ms'];
    try {
      this.host = await Host.open({
        storage: this.storage,
        keys: this.ciphers === 'readable' ? KEYS : OTHER_KEYS,
        apps: [this.fake.appOf(tenant)],
        fake: (down ?? this.fake).url,
        compiledCache,
        deadlines: { ...(wait && { firstByteMs: wait, betweenBytesMs: wait }), ...(save && { saveMs: save }) },
      });
    } finally {
      await down?.stopped();
    }
    await this.host.advanceClock({ seconds: this.ahead });
  }

  /** Runs before each function of the storage. */
  async before(name) {
    const steps = this.races.get(name) ?? [];
    this.races.delete(name);
    for (const { call, with: values, expect } of steps) {
      try {
        await this.check(call, values, expect);
      } catch (thrown) {
        this.mismatch = thrown; // the host takes every exception here for a failure of the storage
      }
    }
    if (!name || this.throws?.function !== name) return;
    if (this.throws.after > 0) {
      this.throws.after -= 1;
    } else if (this.throws.times !== 0) {
      if (this.throws.times !== null) this.throws.times -= 1;
      throw new Error('the scenario lets the storage throw');
    }
  }

  async step(step) {
    const service_id = this.fake.app.service_id;
    const [kind] = Object.keys(step);
    const value = step[kind];
    switch (kind) {
      case 'call':
        if (value === 'receive-webhook') [this.webhook] = await this.fake.ask('GET', '/webhooks');
        await this.check(value, step.with, step.expect);
        if (value === 'receive-webhook' && step.expect.ok) {
          await this.fake.ask('POST', `/webhooks/${this.webhook.number}/answer`, { status: 200 });
        }
        return;
      case 'consent': {
        const answer = await this.fake.ask('POST', '/consent', { service_id, state: STATE, ...value });
        this.callback = answer.callback_query;
        return;
      }
      case 'advance':
        await this.fake.ask('POST', '/clock/advance', { seconds: value });
        await this.host.advanceClock({ seconds: value });
        this.ahead += value;
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
        this.races.set(value.before, value.steps);
        return;
      case 'upstream':
      case 'ciphers':
        this[kind] = value;
        return this.open();
      default:
        throw new Error(`unknown step ${kind}`);
    }
  }

  /** Makes a call, and compares its outcome with the expectation. */
  async check(name, values, expected) {
    const actual = await this.outcome(name, values);
    assert.ok(!this.mismatch, `in the race: ${this.mismatch?.message}`);
    const text = `${name}\n  expected ${JSON.stringify(expected)}\n  but was  ${JSON.stringify(actual)}`;
    assert.ok(matches(expected, actual), text);
  }

  async outcome(name, values) {
    try {
      return { ok: await CALLS[name].call(this, { tenant, ...values }) };
    } catch (thrown) {
      if (thrown instanceof TikTokShopError) return { error: thrown.action, code: thrown.code };
      throw thrown;
    }
  }
}

/** The exports that a scenario calls. Each function returns the value that the file describes. */
const CALLS = {
  async connect({ customer, shops, state = STATE }) {
    const grant = { query: this.callback, state };
    return connection(await this.host.connect({ tenant, customer, shopPolicy: shops, ...grant }));
  },
  async refresh({ customer, rotation }) {
    const refreshed = await this.host.refresh({ tenant, customer, mode: rotation });
    return { effect: refreshed.effect, connection: connection(refreshed.connection) };
  },
  async 'list-shops'({ customer }) {
    return (await this.host.listShops({ tenant, customer })).map(({ id }) => id);
  },
  async 'list-connections'({ customer }) {
    return (await this.host.listConnections({ tenant, customer })).map(connection);
  },
  async call({ customer, shop, method, path, query, body }) {
    const answer = await this.host.call({ tenant, customer, shop, method, path, query, body });
    return { 'http-status': answer.httpStatus, code: answer.code };
  },
  async disconnect({ customer, target, remote }) {
    assert.equal(target, 'all');
    const { remaining, notRevoked } = await this.host.disconnect({ tenant, customer, tiktokAccess: remote });
    return { remaining: remaining.map(connection), 'not-revoked': notRevoked.map(({ shop }) => shop) };
  },
  async 'receive-webhook'({ body }) {
    const [, authorization] = this.webhook.headers.find(([name]) => name.toLowerCase() === 'authorization');
    const sent = Buffer.from(this.webhook.body + (body === 'tampered' ? ' ' : ''));
    const webhook = await this.host.receiveWebhook({ tenant, authorization, body: sent });
    const owners = webhook.owners.map(({ customer, mayUse }) => ({ customer, 'may-use': mayUse }));
    return { 'event-type': webhook.eventType, shop: webhook.shop, effect: webhook.effect, owners };
  },
};

/** What the scenario file says about a connection. */
function connection({ customer, sellerName, status, shops, lastFailure }) {
  const shown = shops.map(({ id, standing, linked, hasCipher }) => ({ id, standing, linked, cipher: hasCipher }));
  return { customer, seller: sellerName, status, shops: shown, 'last-failure': lastFailure?.code ?? null };
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

const { scenarios } = JSON.parse(readFileSync(process.env.TIKTOK_SHOP_SCENARIO, 'utf8'));
for (const { name, host, steps } of scenarios) {
  test(name, async (t) => {
    const fake = await Fake.start();
    t.after(() => fake.stop());
    const stage = new Stage(fake, host);
    await stage.open();
    t.after(() => stage.host.close());
    for (const [at, step] of steps.entries()) {
      try {
        await stage.step(step);
      } catch (thrown) {
        thrown.message = `step ${at + 1}: ${thrown.message}`;
        throw thrown;
      }
    }
  });
}
