// Functions of the platform that throw: the process goes on, and errors and logs show no text that may be secret.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Host, logTo, MisconfiguredError, Secret, StorageFailedError, StorageRefused } from 'tiktok-shop-connector';
import { MemoryStorage } from './memory-storage.mjs';
import { browser, customer, stage, tenant } from './stage.mjs';

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];
const loggerWith = (write) => Object.fromEntries(LEVELS.map((level) => [level, write]));

/** Calls a function, and returns the warnings of the process until some turns of the event loop later. */
async function warningsOf(call) {
  const warnings = [];
  const add = (warning) => warnings.push(warning);
  process.on('warning', add);
  await call();
  for (let turns = 0; turns < 20; turns += 1) await turn();
  process.off('warning', add);
  return warnings.filter(({ name }) => name === 'TikTokShopWarning');
}

test('an error of onRequest becomes one warning', async (t) => {
  let mode = 'sync';
  const onRequest = () => {
    if (mode === 'async') return Promise.reject(new RangeError('later'));
    throw new RangeError('of the metrics');
  };
  const [warning, ...others] = await warningsOf(async () => {
    const { host } = await stage(t, { onRequest });
    mode = 'async';
    assert.deepEqual(await host.listShops({ tenant, customer }), []);
  });
  assert.equal(warning.message, 'onRequest threw RangeError. Further errors of onRequest are not shown.');
  assert.match(warning.detail, /of the metrics/);
  assert.deepEqual(others, []);
});

test('an error of the logger becomes one warning', async (t) => {
  t.after(() => logTo(console, { level: 'error' }));
  const warnings = await warningsOf(async () => {
    const throwing = () => {
      throw new RangeError('of the logger');
    };
    logTo(loggerWith(throwing), { level: 'trace' });
    const { host } = await stage(t);
    const [warning] = await Promise.all([once(process, 'warning'), host.listShops({ tenant, customer })]);
    assert.match(warning[0].message, /^the logger threw RangeError\./);
  });
  assert.equal(warnings.length, 1);
});

test('a logger without a function is refused', () => {
  for (const name of LEVELS) {
    const logger = { ...loggerWith(() => {}), [name]: undefined };
    assert.throws(() => logTo(logger), { name: 'TypeError', message: new RegExp(`no function ${name};`) });
  }
  for (const logger of [undefined, null, 'pino']) assert.throws(() => logTo(logger), TypeError);
});

test('an error of the function apps shows only its class', async (t) => {
  const records = [];
  t.after(() => logTo(console, { level: 'error' }));
  logTo(loggerWith((fields, text) => records.push(inspect({ fields, text }))), { level: 'trace' });
  for (const [throwing, text] of [
    [() => JSON.parse('CANARY'), 'the function apps threw SyntaxError'],
    [() => Promise.reject(new StorageRefused('CANARY')), 'the function apps threw StorageRefused'],
    [() => Promise.reject('CANARY'), 'the function apps threw something that is no Error'],
  ]) {
    const { host } = await stage(t, { apps: throwing });
    await assert.rejects(host.beginConsent({ tenant, customer, browser }), (error) => {
      assert.ok(error instanceof StorageFailedError || error instanceof MisconfiguredError, inspect(error));
      records.push(inspect(error));
      return error.message.includes(text) || assert.fail(error.message);
    });
  }
  await turn();
  assert.doesNotMatch(records.join('\n'), /CANARY/);
});

test('an error of a storage shows its text only if it is StorageRefused', async (t) => {
  let failure = null;
  const storage = new MemoryStorage();
  const accounts = storage.accounts.bind(storage);
  storage.accounts = (named) => {
    if (failure) throw failure;
    return accounts(named);
  };
  const { host } = await stage(t, { storage });
  for (const [thrown, text] of [
    [Object.assign(new RangeError('CANARY'), { code: 'ECONNREFUSED' }), 'threw RangeError (ECONNREFUSED)'],
    [Object.assign(new Error('CANARY'), { code: 'refused' }), 'accounts of the storage threw Error'],
    ['CANARY', 'accounts of the storage threw something that is no Error'],
    [new StorageRefused('a limit of the storage'), 'a limit of the storage'],
  ]) {
    failure = thrown;
    await assert.rejects(host.listShops({ tenant, customer }), (error) => {
      assert.ok(error instanceof StorageFailedError, inspect(error));
      assert.doesNotMatch(inspect(error), /CANARY/);
      return error.message.includes(text) || assert.fail(error.message);
    });
  }
});

test('a result that JSON does not have is an error of the storage', async (t) => {
  let result;
  const storage = new MemoryStorage();
  storage.listRows = () => result;
  const { host } = await stage(t, { storage });
  for (const odd of [() => {}, Symbol('odd'), { toJSON: () => undefined }, 1n]) {
    result = odd;
    await assert.rejects(host.listConnections({ tenant, customer }), StorageFailedError);
  }
});

test('an object that is no storage is refused, and a secret is the text of a storage', async (t) => {
  const storage = new MemoryStorage();
  storage.deleteTenant = undefined;
  const usual = { keys: 'drawn', apps: [] };
  for (const [wrong, name] of [
    [storage, 'deleteTenant'],
    [{ url: 'postgres://CANARY' }, 'belongsTo'],
  ]) {
    await assert.rejects(Host.open({ ...usual, storage: wrong }), (error) => {
      assert.ok(error instanceof TypeError && !error.message.includes('CANARY'));
      return error.message.startsWith(`storage: the object has no function ${name};`);
    });
  }
  const { host } = await stage(t, { storage: new Secret('memory:') });
  assert.deepEqual(await host.listShops({ tenant, customer }), []);
});
