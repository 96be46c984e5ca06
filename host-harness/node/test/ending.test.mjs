// Nothing that stops waiting cuts off a save: no signal, no `close`, and no end of the process.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { Host, InvalidRequestError } from 'tiktok-shop-connector';
import { EIGHT_DAYS, advance, browser, compiledCache, connected, customer, folder, stage, tenant } from './stage.mjs';

function sqlite(t) {
  const where = folder(t);
  return {
    storage: `sqlite:${path.join(where, 'connections.sqlite')}`,
    tables: 'create',
    keys: { fileOrNew: path.join(where, 'host-keys') },
  };
}

/** Opens the storage with another host, and returns the stored connection. */
async function stored(t, { fake }, options) {
  const host = await Host.open({ ...options, apps: [fake.appOf(tenant)], fake: fake.url, compiledCache });
  t.after(() => host.close());
  const [connection] = await host.listConnections({ tenant, customer });
  return connection;
}

test('a signal ends the waiting, and not the refresh', async (t) => {
  const options = sqlite(t);
  const scene = await stage(t, options);
  const { refreshedAt } = await connected(scene);
  await advance(scene, EIGHT_DAYS);
  const controller = new AbortController();
  const refreshing = scene.host.refresh({ tenant, customer, mode: 'forced' }, { signal: controller.signal });
  controller.abort(new Error('the customer has left'));
  await assert.rejects(refreshing, /the customer has left/);
  await scene.host.close();
  assert.ok((await stored(t, scene, options)).refreshedAt > refreshedAt, 'the new tokens are stored');
});

test('a signal that is aborted already lets nothing begin', async (t) => {
  const { host } = await stage(t);
  const signal = AbortSignal.abort();
  await assert.rejects(host.listShops({ tenant, customer }, { signal }), { name: 'AbortError' });
});

test('a signal stops a sweep, whose result says so', async (t) => {
  const scene = await stage(t);
  await connected(scene);
  await advance(scene, EIGHT_DAYS);
  const swept = await scene.host.sweep({ jitterSeconds: 60 }, { signal: AbortSignal.abort() });
  assert.deepEqual([swept.stopped, swept.refreshed, swept.left], [true, 0, 1]);
});

test('close waits for the requests that have begun, and refuses others', async (t) => {
  const options = sqlite(t);
  const scene = await stage(t, options);
  const { refreshedAt } = await connected(scene);
  await advance(scene, EIGHT_DAYS);
  const refreshing = scene.host.refresh({ tenant, customer, mode: 'forced' });
  const closing = scene.host.close();
  const refused = scene.host.refresh({ tenant, customer });
  await assert.rejects(refused, (error) => error instanceof InvalidRequestError && error.code === 'host-closed');
  const [refreshed] = await Promise.all([refreshing, closing]);
  assert.equal(refreshed.effect, 'renewed');
  assert.ok((await stored(t, scene, options)).refreshedAt > refreshedAt);
});

for (const [what, ending] of [
  ['process.exit', 'process.exit(3)'],
  ['an uncaught error', "throw new Error('this error is a part of the test')"],
]) {
  test(`${what} waits until new tokens are saved`, async (t) => {
    const options = sqlite(t);
    const scene = await stage(t, options);
    const { refreshedAt } = await connected(scene);
    await scene.host.close();
    await scene.fake.ask('POST', '/clock/advance', { seconds: EIGHT_DAYS });
    const apps = [scene.fake.appOf(tenant)];
    const code = `
      import { Host } from 'tiktok-shop-connector';
      const host = await Host.open(${JSON.stringify({ ...options, apps, fake: scene.fake.url })});
      await host.advanceClock({ seconds: ${EIGHT_DAYS} });
      host.refresh({ tenant: '${tenant}', customer: '${customer}', mode: 'forced' }).catch(() => {});
      setImmediate(() => { ${ending} });
    `;
    const program = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'ignore' });
    const status = await new Promise((resolve) => program.on('exit', resolve));
    assert.equal(status, ending.includes('exit') ? 3 : 1);
    assert.ok((await stored(t, scene, options)).refreshedAt > refreshedAt, 'the new tokens are stored');
  });
}

test('process.exit does not wait for a function of JavaScript', async (t) => {
  const { fake } = await stage(t);
  const code = `
    import { Host } from 'tiktok-shop-connector';
    const apps = () => { setImmediate(() => process.exit(3)); return new Promise(() => {}); };
    const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps, fake: '${fake.url}' });
    host.beginConsent({ tenant: '${tenant}', customer: '${customer}', browser: '${browser.expose()}' }).catch(() => {});
  `;
  const program = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'inherit' });
  t.after(() => program.kill());
  assert.equal(await new Promise((resolve) => program.on('exit', resolve)), 3);
});

test('a host that is not closed does not keep the process alive', async (t) => {
  const code = `
    import { Host } from 'tiktok-shop-connector';
    await Host.open({ storage: 'memory:', keys: 'drawn', apps: [] });
  `;
  const program = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'inherit' });
  t.after(() => program.kill());
  assert.equal(await new Promise((resolve) => program.on('exit', resolve)), 0);
});

test('a copy of a host shares its end', async (t) => {
  const { host } = await stage(t);
  const copy = host.actingAs('ana');
  assert.equal(copy.plugin, host.plugin);
  await host[Symbol.asyncDispose]();
  await assert.rejects(copy.beginConsent({ tenant, customer, browser }), { code: 'host-closed' });
});

test('the end of the block of a copy does not close the host', async (t) => {
  const { host } = await stage(t);
  for (const copy of [host.actingAs('ana'), host.because('case 4711'), host.because('case 4711').actingAs('ana')]) {
    await copy[Symbol.asyncDispose]();
    assert.deepEqual(await host.listShops({ tenant, customer }), []);
  }
  await host.actingAs('ana').close();
  await assert.rejects(host.listShops({ tenant, customer }), { code: 'host-closed' });
});
