// Host keys of a provider that is written in JavaScript, and of a key service.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import { inspect } from 'node:util';
import {
  Host,
  HostKeyUnavailable,
  InvalidRequestError,
  logTo,
  StorageFailedError,
} from 'tiktok-shop-connector';
import { startBao } from './bao.mjs';
import { MemoryKeys, TenantKeys } from './memory-keys.mjs';
import { compiledCache, connected, customer, folder, stage, tenant } from './stage.mjs';

const named = { tenant, customer };
const PACKAGE = path.dirname(createRequire(import.meta.url).resolve('tiktok-shop-connector/package.json'));

/** Returns the options of a host with a database in this folder. */
const stored = (inFolder, keys) => ({ storage: `sqlite:${path.join(inFolder, 'a.sqlite')}`, tables: 'create', keys });

/** Opens a host again on the same database and fake. */
async function reopened(t, { fake }, options) {
  const host = await Host.open({ apps: [fake.appOf(tenant)], fake: fake.url, compiledCache, ...options });
  t.after(() => host.close());
  return host;
}

test('a provider in JavaScript opens the database again, and another provider does not', async (t) => {
  const [keys, at] = [new MemoryKeys(), folder(t)];
  const scene = await stage(t, stored(at, keys));
  const { account } = await connected(scene);
  await scene.host.checkKeys();
  await scene.host.close();
  const again = await reopened(t, scene, stored(at, keys));
  assert.equal((await again.listConnections(named))[0].account, account);
  assert.equal((await again.listShops(named)).length, 1);
  await again.close();
  const other = await reopened(t, scene, stored(at, new MemoryKeys()));
  await assert.rejects(other.accessToken(named), (error) => {
    assert.ok(error instanceof StorageFailedError);
    return error.message.includes('does not unwrap this data key');
  });
});

test('a check says which host keys open the data keys', async (t) => {
  const [keys, at] = [new MemoryKeys(), folder(t)];
  const scene = await stage(t, stored(at, keys));
  const nothing = { fitsNothing: false, nothingAvailable: false, foundNoDataKey: false };
  assert.deepEqual(await scene.host.checkHostKeys(), { usable: [], unusable: [], ...nothing, foundNoDataKey: true });
  await connected(scene);
  const hostKey = await keys.current();
  assert.deepEqual(await scene.host.checkHostKeys(), { usable: [hostKey], unusable: [], ...nothing });
  await scene.host.close();
  const other = await reopened(t, scene, stored(at, new MemoryKeys()));
  const { unusable, fitsNothing } = await other.checkHostKeys({ tenants: [tenant] });
  assert.deepEqual([unusable.map((one) => [one.hostKey, one.reason]), fitsNothing], [[[hostKey, 'mismatch']], true]);
});

test('a provider that fails makes calls fail, and nothing secret is shown', async (t) => {
  const records = [];
  const write = (fields, text) => records.push(inspect({ fields, text }));
  logTo(Object.fromEntries(['error', 'warn', 'info', 'debug', 'trace'].map((level) => [level, write])), {
    level: 'trace',
  });
  t.after(() => logTo(console, { level: 'error' }));
  class Failing extends MemoryKeys {
    failure = null;

    async wrap(given) {
      if (this.failure) throw this.failure(given.dataKey.toString('hex'));
      return super.wrap(given);
    }
  }
  const keys = new Failing();
  const scene = await stage(t, { keys });
  const throwing = (name, code) => (key) => Object.assign(new Error(`CANARY ${key}`), { name, code });
  for (const [failure, text] of [
    [throwing('AccessDeniedException'), 'wrap of the key provider threw AccessDeniedException'],
    [throwing('Error', 'ECONNREFUSED'), 'wrap of the key provider threw Error (ECONNREFUSED)'],
    [throwing('CANARY with spaces', 'CANARY_'.repeat(10)), 'wrap of the key provider threw Error'],
    [(key) => `CANARY ${key}`, 'wrap of the key provider threw something that is no Error'],
    [
      (key) => Object.defineProperty(new Error(), 'name', { get: () => assert.fail(`CANARY ${key}`) }),
      'wrap of the key provider threw something that is no Error',
    ],
    [
      (key) => new Proxy(new Error(), { getPrototypeOf: () => assert.fail(`CANARY ${key}`) }),
      'wrap of the key provider threw something that is no Error',
    ],
    [
      (key) => Object.assign(new HostKeyUnavailable(`CANARY ${key}`), { code: 'ENOENT' }),
      'wrap of the key provider failed',
    ],
    [() => new HostKeyUnavailable('the service is sealed; unseal it'), 'the service is sealed; unseal it'],
  ]) {
    keys.failure = (key) => {
      keys.seen.add(key);
      return failure(key);
    };
    await assert.rejects(connected(scene), (error) => {
      assert.ok(error instanceof StorageFailedError, inspect(error));
      assert.ok(error.message.includes(text), error.message);
      records.push(inspect(error));
      return true;
    });
  }
  keys.failure = null;
  assert.equal((await connected(scene)).status, 'active');
  const all = records.join('\n').toLowerCase();
  assert.ok(all.length > 0 && keys.seen.size > 1);
  for (const key of keys.seen) {
    assert.ok(!all.includes(key) && !all.includes(Buffer.from(key, 'hex').toString('base64').toLowerCase()));
  }
  assert.doesNotMatch(all, /canary/);
});

test('a malformed result is named, and not shown', async (t) => {
  const bytes = Buffer.from('CANARY'.repeat(6));
  const keyText = 'must return the id of a host key: 1 to 256 visible ASCII characters';
  const wrapText = 'wrap of the key provider must return the id of a host key, and 1 to 16384 bytes';
  const unwrapText = 'unwrap of the key provider must return 32 bytes';
  for (const [name, result, text] of [
    ['wrap', undefined, wrapText],
    ['wrap', 'CANARY', wrapText],
    ['wrap', { hostKey: 'CANARY', bytes: 'CANARY' }, wrapText],
    ['wrap', { hostKey: 'CANARY', bytes: Buffer.alloc(0) }, wrapText],
    ['wrap', { hostKey: 'CANARY CANARY', bytes }, wrapText],
    ['wrap', { hostKey: 7, bytes }, wrapText],
    ['unwrap', bytes, unwrapText],
    ['unwrap', 'CANARY', unwrapText],
    ['unwrap', null, unwrapText],
    ['unwrap', Buffer.alloc(32), 'does not unwrap this data key'],
    ['currentFor', ['CANARY'], `current (for a tenant) of the key provider ${keyText}`],
  ]) {
    const keys = name === 'currentFor' ? new TenantKeys() : new MemoryKeys();
    const scene = await stage(t, { keys });
    if (name === 'currentFor') await connected(scene);
    keys[name] = () => result;
    const call = name === 'currentFor' ? scene.host.keyStatus() : connected(scene);
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof StorageFailedError, inspect(error));
      assert.doesNotMatch(inspect(error), /CANARY/);
      return error.message.includes(text) || assert.fail(error.message);
    });
  }
});

test('a provider that returns the data key as the wrapped key is refused', async (t) => {
  const keys = new MemoryKeys();
  keys.wrap = ({ dataKey }) => ({ hostKey: 'host-1', bytes: Buffer.from(dataKey) });
  const error = await connected(await stage(t, { keys })).catch((thrown) => thrown);
  assert.match(error.message, /wrap of the key provider returned the data key unencrypted/);
});

test('an object that is no provider is refused', async () => {
  const usual = { storage: 'memory:', apps: [] };
  const functions = { current: () => 'a', wrap: () => {}, unwrap: () => {} };
  for (const [keys, message] of [
    [{ ...functions, unwrap: undefined }, 'keys: the provider has no function unwrap'],
    [{ ...functions, wrap: 'CANARY' }, 'keys: the provider has no function wrap'],
    [{ ...functions, currentFor: 'CANARY' }, 'keys: currentFor is no function'],
    [
      { ...functions, destroy: () => {} },
      'keys: a provider with destroy needs currentFor, because other tenants use the same host key',
    ],
  ]) {
    await assert.rejects(Host.open({ ...usual, keys }), { name: 'TypeError', message });
  }
  await assert.rejects(Host.open({ ...usual, keys: { CANARY: 7 } }), (error) => {
    assert.doesNotMatch(inspect(error), /CANARY/);
    return error instanceof InvalidRequestError;
  });
});

test('after the provider has another current key, new data keys use it, and earlier ones open', async (t) => {
  const [keys, at] = [new MemoryKeys(), folder(t)];
  const scene = await stage(t, stored(at, keys));
  await connected(scene);
  assert.deepEqual(await statusOf(scene.host), { current: 'host-1', isRotated: true, hostKeys: ['host-1'] });
  const nothing = { tenants: 1, added: 0, rewrapped: 0, resealed: 0, removed: 0, unopened: 0 };
  assert.deepEqual(await scene.host.rotateKeys(), nothing);
  keys.promote('host-2');
  assert.deepEqual(await statusOf(scene.host), { current: 'host-2', isRotated: false, hostKeys: ['host-1'] });
  await scene.host.close();
  const again = await reopened(t, scene, stored(at, keys));
  assert.ok((await again.accessToken(named)).token.expose().length > 0);
  await again.eraseTenant({ tenant });
  await connected({ ...scene, host: again });
  assert.deepEqual(await statusOf(again), { current: 'host-2', isRotated: true, hostKeys: ['host-2'] });
});

async function statusOf(host) {
  const { current, isRotated, keys } = await host.keyStatus();
  return { current, isRotated, hostKeys: keys.map(({ hostKey }) => hostKey) };
}

test('a provider with a key for each tenant destroys the key of an erased tenant', async (t) => {
  const keys = new TenantKeys();
  const scene = await stage(t, { keys });
  await connected(scene);
  const id = `tenants.${tenant}:v1`;
  const { current, keys: dataKeys } = await scene.host.keyStatus();
  assert.deepEqual([current, dataKeys[0].hostKey, dataKeys[0].current], ['tenants.*', id, id]);
  const erased = await scene.host.eraseTenant({ tenant });
  assert.deepEqual([erased.connections, erased.hostKey, erased.next], [1, 'destroyed', null]);
  assert.deepEqual(keys.destroyed, [{ tenant, wrappedBy: [id] }]);
  // The tenant begins again with a new host key, which the provider keeps for another database.
  await connected(scene);
  keys.destroy = () => ({ outcome: 'not-allowed', key: id, next: 'ask the administrator' });
  const kept = await scene.host.eraseTenant({ tenant });
  assert.deepEqual([kept.hostKey, kept.next], ['not-allowed', 'ask the administrator']);
});

test('a provider without a key for each tenant says that its host key is shared', async (t) => {
  const scene = await stage(t, { keys: new MemoryKeys() });
  await connected(scene);
  assert.equal((await scene.host.eraseTenant({ tenant })).hostKey, 'shared');
});

test('a database moves from a key file to a provider, with the key file as the earlier keys', async (t) => {
  const at = folder(t);
  const file = path.join(at, 'host-keys');
  const scene = await stage(t, stored(at, { fileOrNew: file }));
  await connected(scene);
  await scene.host.close();
  const keys = new MemoryKeys();
  const moved = await reopened(t, scene, { ...stored(at, keys), earlierKeys: { file } });
  assert.ok((await moved.accessToken(named)).token.expose().length > 0);
  assert.equal((await moved.keyStatus()).isRotated, false);
  await moved.close();
  const without = reopened(t, scene, { ...stored(at, { file }), earlierKeys: { file } });
  await assert.rejects(without, (error) => error.code === 'invalid-argument' && /`earlierKeys`/.test(error.message));
});

test('wrong settings of a key service are named, and secrets are not shown', async () => {
  const address = 'https://bao.internal:8200';
  for (const [keyService, code, text] of [
    [{ address, auth: 'approle', roleId: 'c' }, 'invalid-argument', 'the key service: this `auth` needs `secretId`'],
    [
      { address, auth: 'token-file', tokenFile: 'f', token: 'CANARY' },
      'invalid-argument',
      'the key service: `token` is not used with this `auth`; remove it',
    ],
    [
      { address, auth: 'CANARY' },
      'invalid-argument',
      'the options: `keys.keyService.auth` has the wrong type or form: expected one of `token`, `token-file`, ' +
        '`approle`, `kubernetes`',
    ],
    [
      { address, auth: 'token', tokem: 'CANARY' },
      'invalid-argument',
      'the options: unknown field `tokem`, expected one of `address`, `auth`, `token`, `tokenFile`, `authMount`, ' +
        '`roleId`, `secretId`, `role`, `jwtFile`, `mount`, `prefix`, `namespace`, `caFile`',
    ],
    [{ address: 'http://10.0.0.1', auth: 'token', token: 'CANARY' }, 'host-keys', 'key service: address: '],
  ]) {
    await assert.rejects(Host.open({ storage: 'memory:', apps: [], keys: { keyService } }), (error) => {
      assert.doesNotMatch(inspect(error), /CANARY/);
      assert.equal(error.code, code, error.message);
      return error.message.startsWith(text) || assert.fail(error.message);
    });
  }
});

test('two key services with the same prefix are refused', async () => {
  const keyService = { address: 'https://bao.internal:8200', auth: 'token', token: 'CANARY' };
  const earlierKeys = { keyService: { ...keyService, address: 'https://vault.internal:8200', prefix: 'tiktok-shop' } };
  await assert.rejects(Host.open({ storage: 'memory:', apps: [], keys: { keyService }, earlierKeys }), (error) => {
    assert.equal(error.code, 'invalid-argument');
    return error.message.startsWith('`earlierKeys`: the two key services have the same `prefix`');
  });
});

test('a key service keeps the host keys', async (t) => {
  const bao = await startBao(t, folder(t));
  if (!bao) return t.skip('there is no program bao; install it with .ci/openbao, or name it in TIKTOK_SHOP_TEST_BAO');
  const keyService = { address: bao.address, auth: 'token', token: bao.token, prefix: 'platform' };
  const at = folder(t);
  const scene = await stage(t, stored(at, { keyService }));
  await connected(scene);
  const id = `platform-fake.${tenant}:v1`;
  assert.equal((await scene.host.keyStatus()).keys[0].hostKey, id);
  await scene.host.close();
  const again = await reopened(t, scene, stored(at, { keyService }));
  assert.ok((await again.accessToken(named)).token.expose().length > 0);
  await bao.ask('POST', `transit/keys/platform-fake.${tenant}/rotate`);
  assert.equal((await again.keyStatus()).keys[0].current, `platform-fake.${tenant}:v2`);
  await again.close();
  const refused = await reopened(t, scene, stored(at, { keyService: { ...keyService, token: 'CANARY-CANARY' } }));
  await assert.rejects(refused.checkKeys(), (error) => {
    assert.doesNotMatch(inspect(error), /CANARY/);
    return error instanceof StorageFailedError || assert.fail(inspect(error));
  });
  await refused.close();
  const last = await reopened(t, scene, stored(at, { keyService }));
  assert.equal((await last.eraseTenant({ tenant })).hostKey, 'destroyed');
});

test('a process with a provider in JavaScript exits', async (t) => {
  const program = `
    import { Host } from 'tiktok-shop-connector';
    const never = () => new Promise(() => {});
    const keys = { current: never, wrap: never, unwrap: never };
    const host = await Host.open({ storage: 'memory:', keys, apps: [] });
    host.keyStatus().catch(() => {});
    setImmediate(() => process.exit(0));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  t.after(() => child.kill());
  assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0);
});

test('the declarations name the functions of a provider', () => {
  const declarations = readFileSync(path.join(PACKAGE, 'lib/keys.d.cts'), 'utf8');
  for (const name of ['current', 'wrap', 'unwrap', 'currentFor\\?', 'destroy\\?']) {
    assert.match(declarations, new RegExp(`^  ${name}\\(`, 'm'), name);
  }
});
