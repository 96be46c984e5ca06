// The life of a connection, on each storage that the package contains.

import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { InvalidRequestError, ReauthorizeError, Secret } from 'tiktok-shop-connector';
import { EIGHT_DAYS, SHOP, advance, browser, connected, customer, folder, stage, tenant } from './stage.mjs';

const SEARCH = '/order/202309/orders/search';

async function wholeLife(t, options) {
  const scene = await stage(t, options);
  const { fake, host } = scene;
  assert.match(host.plugin, /^tiktok-shop:connector@/);

  // Connect.
  const connection = await connected(scene);
  assert.equal(connection.status, 'active');
  assert.ok(connection.connectedAt instanceof Date);
  assert.deepEqual(
    connection.shops.map(({ id, linked, usable }) => [id, linked, usable]),
    [[SHOP, true, true]],
  );
  const shops = await host.listShops({ tenant, customer });
  assert.deepEqual(
    shops.map(({ id }) => id),
    [SHOP],
  );
  assert.deepEqual(await host.listConnections({ tenant, customer }), [connection]);
  assert.deepEqual(await host.tenantConnections({ tenant, shop: SHOP, status: 'active' }), [connection]);
  const last = { customer, account: connection.account };
  assert.deepEqual(await host.tenantConnections({ tenant, after: last }), []);

  // Call.
  const search = { tenant, customer, shop: SHOP, method: 'POST', path: SEARCH, body: {} };
  const answer = await host.call({ ...search, query: { page_size: 1 } });
  assert.deepEqual([answer.httpStatus, answer.code, answer.isSuccess], [200, '0', true]);
  assert.equal(answer.json().code, 0);
  assert.ok(Buffer.isBuffer(answer.body));
  const account = await host.call({ tenant, customer, method: 'GET', path: '/authorization/202309/shops' });
  assert.equal(account.isSuccess, true);

  // An access token is a secret.
  const token = await host.accessToken({ tenant, customer, minValiditySeconds: 60 });
  assert.ok(token.token instanceof Secret && token.expiresAt > new Date());

  // Refresh, and sweep.
  await advance(scene, EIGHT_DAYS);
  const refreshed = await host.actingAs('ana').because('case 4711').refresh({ tenant, customer, mode: 'forced' });
  assert.deepEqual([refreshed.effect, refreshed.nothingSent], ['renewed', null]);
  await advance(scene, EIGHT_DAYS);
  const swept = await host.sweep({ jitterSeconds: 0 });
  assert.deepEqual([swept.refreshed, swept.failed, swept.notRefreshed], [1, 0, []]);

  // Link.
  const unlinked = await host.linkShops({ tenant, customer, shops: [] });
  assert.equal(unlinked.shops[0].linked, false);
  await host.linkShops({ tenant, customer, shops: [SHOP] });

  // A webhook: the seller removes the app.
  await fake.ask('POST', '/sellers/one-shop/deauthorize', { service_id: fake.app.service_id });
  const [webhook] = await fake.ask('GET', '/webhooks');
  const [, authorization] = webhook.headers.find(([name]) => name.toLowerCase() === 'authorization');
  const delivery = { tenant, authorization, body: Buffer.from(webhook.body) };
  const received = [];
  assert.deepEqual(await host.acceptWebhook(delivery, (one) => received.push(one)), {
    status: 200,
    reply: 'handled',
    error: null,
  });
  const seen = received.map(({ eventType, shop, effect }) => [eventType, shop, effect]);
  assert.deepEqual(seen, [[6, SHOP, 'verification-due']]);
  const repeated = await host.acceptWebhook(delivery, () => assert.fail('handled twice'));
  assert.deepEqual([repeated.status, repeated.reply], [200, 'repeated']);
  const tampered = { ...delivery, body: Buffer.from(`${webhook.body} `) };
  assert.equal((await host.acceptWebhook(tampered, () => assert.fail('forged'))).status, 401);

  // The end: the next refresh finds out that the seller has removed the app.
  const ended = await host.sweep({ jitterSeconds: 0 });
  assert.equal(ended.ended, 1);
  assert.ok(ended.notRefreshed[0].error instanceof ReauthorizeError);
  await assert.rejects(
    host.call(search),
    (error) => error instanceof ReauthorizeError && error.action === 'reauthorize' && typeof error.code === 'string',
  );
  const disconnected = await host.disconnect({ tenant, customer, tiktokAccess: 'keep' });
  assert.deepEqual(disconnected.found, [last]);
  assert.deepEqual((await host.disconnect({ tenant, customer, tiktokAccess: 'keep' })).found, []);

  // The events say what happened.
  const events = await host.events({ tenant });
  const kinds = events.map(({ event }) => event);
  for (const kind of ['connected', 'token-shown', 'refresh-forced', 'reauthorization-required', 'disconnected']) {
    assert.ok(kinds.includes(kind), `${kind} in ${kinds}`);
  }
  const forced = events.find(({ event }) => event === 'refresh-forced');
  assert.deepEqual([forced.actor, forced.statedReason, forced.cause], ['ana', 'case 4711', 'refresh']);
  assert.deepEqual(await host.events({ tenant, after: events.at(-1).position }), []);

  // Keys, and the erasure of the tenant.
  const status = await host.keyStatus();
  assert.deepEqual(
    status.keys.map((key) => key.tenant),
    [tenant],
  );
  await host.checkKeys();
  assert.equal((await host.eraseTenant({ tenant })).keys, 1);
  assert.equal(await host.eraseTenant({ tenant: 'nobody' }), null);
}

test('the whole life in memory', (t) => wholeLife(t, {}));

test('the whole life in SQLite', (t) => {
  const where = folder(t);
  const storage = `sqlite:${path.join(where, 'connections.sqlite')}`;
  return wholeLife(t, { storage, tables: 'create', keys: { fileOrNew: path.join(where, 'host-keys') } });
});

test('a seller of another system is imported, and exported again', async (t) => {
  const scene = await stage(t, { allowExport: true });
  const { fake, host } = scene;
  const grant = await fake.ask('POST', '/grants', { service_id: fake.app.service_id, sellers: 1 });
  // A grant of another host may have these members without a value.
  const unknown = { account: null, accessToken: null, accessTokenEnds: null, refreshTokenEnds: null };
  const connection = await host.importGrant({ tenant, customer, refreshToken: grant.refresh_token, ...unknown });
  assert.equal(connection.status, 'active');
  const exported = await host.exportGrant({ tenant, customer });
  assert.equal(exported.account, connection.account);
  assert.notEqual(exported.refreshToken.expose(), grant.refresh_token);
  assert.doesNotMatch(JSON.stringify(exported), /ROW_/);
});

test('an install from the App Store connects only after the customer has confirmed it', async (t) => {
  const { fake, host } = await stage(t);
  const consent = { service_id: fake.app.service_id, seller: 'one-shop', decision: 'allow' };
  const { callback_query: query } = await fake.ask('POST', '/consent', consent);
  const pending = await host.beginInstall({ tenant, customer, browser, query });
  assert.deepEqual(
    pending.shops.map(({ id }) => id),
    [SHOP],
  );
  assert.deepEqual(await host.listConnections({ tenant, customer }), []);
  const other = host.confirmInstall({ tenant, customer: 'customer-8', browser, id: pending.id });
  await assert.rejects(other, (error) => error instanceof InvalidRequestError && error.code === 'other-customer');
  const connection = await host.confirmInstall({ tenant, customer, browser, id: pending.id });
  assert.equal(connection.status, 'active');
});

test('a revocation shows first which other customers lose the shop', async (t) => {
  const scene = await stage(t);
  const { account } = await connected(scene);
  await connected(scene, 'one-shop', 'customer-8');
  const shared = await scene.host.sharedConnections({ tenant, customer });
  assert.deepEqual(shared, { connections: [{ customer: 'customer-8', account, shops: [SHOP] }], shopsNotRead: [] });
  const { revoked } = await scene.host.disconnect({ tenant, customer, tiktokAccess: 'revoke' });
  assert.deepEqual(revoked, [{ account, shop: SHOP }]);
});

test('a shop or an account without a value ends no connection', async (t) => {
  const scene = await stage(t);
  const connection = await connected(scene);
  const { host } = scene;
  for (const name of ['shop', 'account']) {
    for (const value of [undefined, null]) {
      const named = { tenant, customer, [name]: value };
      const message = `${name}: it has no value; leave it out if you mean all connections of the customer`;
      await assert.rejects(host.disconnect({ ...named, tiktokAccess: 'revoke' }), { name: 'TypeError', message });
      await assert.rejects(host.sharedConnections(named), { name: 'TypeError', message });
    }
  }
  assert.deepEqual(await host.listConnections({ tenant, customer }), [connection]);
});

test('a shop or an account that the request would not contain is refused', async (t) => {
  const scene = await stage(t);
  const connection = await connected(scene);
  const { host } = scene;
  const named = { tenant, customer, tiktokAccess: 'revoke', method: 'GET', path: '/authorization/202309/shops' };
  class Row {
    get shop() {
      return SHOP;
    }
  }
  const hidden = { value: connection.account, enumerable: false };
  for (const [name, target] of [
    ['shop', Object.assign(new Row(), named)],
    ['shop', Object.assign(Object.create({ shop: SHOP }), named)],
    ['account', Object.defineProperty({ ...named }, 'account', hidden)],
  ]) {
    const message = `${name}: it is no enumerable member of the object itself; give a plain object`;
    for (const call of [() => host.disconnect(target), () => host.sharedConnections(target), () => host.call(target)]) {
      await assert.rejects(call, { name: 'TypeError', message });
    }
  }
  assert.deepEqual(await host.listConnections({ tenant, customer }), [connection]);
});

test('a shop or an account without a value makes no call', async (t) => {
  const scene = await stage(t);
  await connected(scene);
  const call = { tenant, customer, method: 'GET', path: '/authorization/202309/shops' };
  for (const [name, meant] of [
    ['shop', 'the whole account'],
    ['account', "the customer's only account"],
  ]) {
    const message = `${name}: it has no value; leave it out if you mean ${meant}`;
    for (const value of [undefined, null]) {
      await assert.rejects(scene.host.call({ ...call, [name]: value }), { name: 'TypeError', message });
    }
  }
  assert.equal((await scene.host.call(call)).isSuccess, true);
});

test('the apps of a tenant are listed', async (t) => {
  const { fake, host } = await stage(t);
  assert.deepEqual(await host.apps({ tenant }), [fake.app.app_key]);
  await assert.rejects(host.apps({ tenant: 'nobody' }), { action: 'misconfigured', code: 'credentials-refused' });
});

test('a page has 1 to 1000 entries', async (t) => {
  const { host } = await stage(t);
  assert.deepEqual(await host.events({ tenant, limit: 1000 }), []);
  for (const limit of [0, 1001]) {
    const message = (name) => `the arguments of ${name}: limit: a number from 1 to 1000`;
    await assert.rejects(host.events({ tenant, limit }), { message: message('events') });
    await assert.rejects(host.tenantConnections({ tenant, limit }), { message: message('tenantConnections') });
  }
});
