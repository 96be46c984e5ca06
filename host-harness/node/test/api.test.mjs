// The package as a JavaScript library: secrets, errors, options, both kinds of modules.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inspect } from 'node:util';
import pino from 'pino';
import * as connector from 'tiktok-shop-connector';
import { Fake } from './fake.mjs';
import { browser, compiledCache, connected, customer, folder, stage, tenant } from './stage.mjs';

const { Host, InvalidRequestError, MisconfiguredError, ReauthorizeError, RetryAfterError, Secret } = connector;
const { StorageConflictError } = connector;

test('import and require give the same objects', () => {
  const required = createRequire(import.meta.url)('tiktok-shop-connector');
  assert.deepEqual(Object.keys(required).sort(), Object.keys(connector).sort());
  for (const name of Object.keys(required)) assert.equal(required[name], connector[name], name);
});

test('a secret is printed nowhere', () => {
  const secret = new Secret('ROW_token');
  const shown = [String(secret), `${secret}`, JSON.stringify({ secret }), inspect(secret), inspect({ deep: [secret] })];
  for (const text of shown) assert.doesNotMatch(text, /ROW_/);
  assert.equal(secret.expose(), 'ROW_token');
  assert.throws(() => new Secret(undefined), TypeError);
});

test('an error is of the class of its action, and shows no secret', async (t) => {
  const { fake, host } = await stage(t);
  const nobody = host.refresh({ tenant, customer });
  await assert.rejects(nobody, (error) => {
    assert.ok(error instanceof InvalidRequestError && error instanceof connector.TikTokShopError);
    const shown = [error.name, error.action, error.code];
    assert.deepEqual(shown, ['InvalidRequestError', 'invalid-request', 'not-connected']);
    return error.retryAfterMs === null && error.message.length > 0;
  });
  const { url } = await host.beginConsent({ tenant, customer, browser });
  assert.ok(url instanceof Secret);
  const query = await fake.decide(url.expose(), 'one-shop');
  const foreign = host.finishConsent({ tenant, browser: 'another-session-secret-of-this-user', query });
  await assert.rejects(foreign, (error) => error instanceof ReauthorizeError && error.code === 'other-browser');
  await host.finishConsent({ tenant, browser, query });
  const again = host.finishConsent({ tenant, browser, query });
  await assert.rejects(again, (error) => error.code === 'state-used' && !inspect(error).includes(query));
});

test('a wrong argument is named without its value', async (t) => {
  const { host } = await stage(t);
  const known = '`tenant`, `customer`, `account`, `mode`';
  const unknown = `the arguments of refresh: unknown field \`acount\`, expected one of ${known}`;
  const wrong = (name) => `the arguments of refresh: \`${name}\` has the wrong type or form`;
  for (const [call, message] of [
    [() => host.refresh({ tenant, customer, acount: 'CANARY' }), unknown],
    [() => host.refresh({ tenant, customer: 7 }), wrong('customer')],
    [
      () => host.refresh({ tenant, customer, mode: 'CANARY' }),
      `${wrong('mode')}: expected \`when-due\` or \`forced\``,
    ],
    [
      () => host.linkShops({ tenant, customer, shops: ['CANARY'] }),
      'the arguments of linkShops: shop id: 1 to 19 digits',
    ],
    [() => host.beginConsent({ tenant, customer, browser: 'CANARY' }), 'browser: a random secret of 16 bytes at least'],
    [
      () => host.beginConsent({ tenant, customer, browser, shopPolicy: 'CANARY' }),
      'the arguments of beginConsent: not one of: all, exactly-one',
    ],
    [
      () => host.call({ tenant, customer, method: 'GET', path: '/', contentTyp: 'CANARY' }),
      'the arguments of call: unknown field `contentTyp`, expected one of `tenant`, `customer`, `shop`, `account`, ' +
        '`method`, `path`, `query`, `contentType`, `maxResponseBytes`, `body`',
    ],
    [() => host.accessToken({ tenant }), 'the arguments of accessToken: missing field `customer`'],
    [() => host.actingAs('').listShops({ tenant, customer }), 'actor: 1 to 256 bytes'],
  ]) {
    await assert.rejects(call, (error) => {
      assert.deepEqual([error.code, error.message], ['invalid-argument', message]);
      return error instanceof InvalidRequestError;
    });
  }
});

test('a value that JSON does not have is refused, and does not become the default', async (t) => {
  const { host } = await stage(t);
  const usual = { storage: 'memory:', keys: 'drawn', apps: [] };
  for (const [call, message] of [
    [() => host.events({ tenant, limit: Number.NaN }), 'limit: the number is not finite'],
    [() => host.sweep({ jitterSeconds: Number.POSITIVE_INFINITY }), 'jitterSeconds: the number is not finite'],
    [() => host.listShops({ tenant, customer: 7n }), 'customer: a bigint is not expected here'],
    [() => host.linkShops({ tenant, customer, shops: [7n] }), 'an entry of a list: a bigint is not expected here'],
    [() => Host.open({ ...usual, deadlines: { callMs: Number.NaN } }), 'callMs: the number is not finite'],
    [() => Host.open({ ...usual, onRequests: () => {} }), 'onRequests: a function is not expected here'],
  ]) {
    await assert.rejects(call, { name: 'TypeError', message });
  }
});

test('a time that is no Date is refused', async (t) => {
  const { host } = await stage(t);
  for (const name of ['accessTokenEnds', 'refreshTokenEnds']) {
    for (const time of [Date.now(), '2030-01-01', { seconds: 7 }]) {
      const importing = host.importGrant({ tenant, customer, refreshToken: 'CANARY', [name]: time });
      await assert.rejects(importing, { name: 'TypeError', message: `${name}: give a Date` });
    }
  }
});

test('the text of a printed secret is not taken for the secret', async (t) => {
  const scene = await stage(t);
  const { fake, host } = scene;
  const printed = `${new Secret('a-secret-of-the-usual-length')} and more`;
  const ofCustomer = { tenant, customer };
  const app = { ...fake.appOf(tenant), appSecret: printed };
  for (const [name, call] of [
    ['state', () => host.authorizationUrl({ tenant, state: printed })],
    ['state', () => host.connect({ ...ofCustomer, query: 'code=a&state=b', state: printed })],
    ['browser', () => host.beginConsent({ ...ofCustomer, browser: printed })],
    ['refreshToken', () => host.importGrant({ ...ofCustomer, refreshToken: new Secret(printed) })],
    ['accessToken', () => host.importGrant({ ...ofCustomer, refreshToken: 'a', accessToken: printed })],
    ['appSecret', () => Host.open({ storage: 'memory:', keys: 'drawn', apps: [app] })],
  ]) {
    const why = 'the value is the text of a Secret that was printed';
    const message = `${name}: ${why}; give the Secret itself, or what \`expose\` returns`;
    await assert.rejects(call, { name: 'TypeError', message });
  }
});

test('a missing actor or reason is refused', async (t) => {
  const { host } = await stage(t);
  for (const missing of [undefined, null, 7, new Secret('CANARY')]) {
    const message = (name) => `${name}: the argument is not a string`;
    assert.throws(() => host.actingAs(missing), { name: 'TypeError', message: message('actingAs') });
    assert.throws(() => host.because(missing), { name: 'TypeError', message: message('because') });
  }
});

test('options that do not fit are refused', async (t) => {
  const usual = { storage: 'memory:', keys: 'drawn', apps: [] };
  const database = { storage: `sqlite:${path.join(folder(t), 'missing.sqlite')}` };
  for (const [options, code] of [
    [{ storage: 'mysql:CANARY' }, 'invalid-argument'],
    [{ keys: { text: 'CANARY' } }, 'host-keys'],
    [{ keys: { file: path.join(folder(t), 'missing') } }, 'host-keys'],
    [{ ...database, keys: { file: path.join(folder(t), 'missing') } }, 'storage-not-opened'],
    [database, 'invalid-argument'],
    [{ fake: 'http://10.0.0.1:4010' }, 'invalid-argument'],
    [{ proxy: 'socks5://CANARY' }, 'invalid-argument'],
    [{ deadlines: { callMs: 1 } }, 'host-not-built'],
  ]) {
    await assert.rejects(Host.open({ ...usual, ...options }), (error) => {
      assert.ok(error instanceof InvalidRequestError || error instanceof MisconfiguredError);
      assert.doesNotMatch(inspect(error), /CANARY/);
      return error.code === code || assert.fail(`${error.code}: ${error.message}`);
    });
  }
  assert.throws(() => new Host(), TypeError);
});

test('an object that is no signal is refused, and the host goes on', async (t) => {
  const { host } = await stage(t);
  const sweep = host.sweep({}, { signal: { aborted: false } });
  await assert.rejects(sweep, { name: 'TypeError', message: 'signal: give an AbortSignal' });
  assert.equal((await host.sweep()).refreshed, 0);
});

test('the apps are checked when the host opens', async () => {
  const app = { tenant: 'acme', appKey: '6abcdefghijkl', appSecret: 'CANARY-of-the-usual-length' };
  const noLink =
    'apps: tenant acme: `authorizationLink` is not valid: it must begin with https:// (of a fake also http://), name a ' +
    'host, consist of at most 2048 visible ASCII characters, and have no `#` and no parameter `state`; copy it from ' +
    'Partner Center';
  const withState = 'https://services.tiktokshop.com/open/authorize?state=CANARY';
  for (const [apps, message] of [
    [[{ ...app, appKey: '' }], 'apps: tenant acme: the key of an app has 1 to 64 bytes'],
    [[app, app], 'apps: tenant acme: the tenant has the same app twice'],
    [[{ ...app, appSecret: '' }], 'apps: tenant acme: `appSecret` is empty; copy it from Partner Center'],
    [[{ ...app, authorizationLink: 'CANARY' }], noLink],
    [[{ ...app, authorizationLink: withState }], noLink],
    // Only a fake has no TLS.
    [[{ ...app, authorizationLink: 'http://127.0.0.1:4010/CANARY' }], noLink],
  ]) {
    const opening = Host.open({ storage: 'memory:', keys: 'drawn', apps });
    await assert.rejects(opening, (error) => {
      assert.deepEqual([error.code, error.message], ['invalid-argument', message]);
      return true;
    });
  }
});

test('a fake gets no secret that it has not shown', async (t) => {
  const fake = await Fake.start();
  t.after(() => fake.stop());
  const usual = { storage: 'memory:', keys: 'drawn', fake: fake.url, compiledCache };
  for (const [wrong, what] of [
    [{ appKey: '6realapp00001' }, 'app 1'],
    [{ appSecret: 'CANARY-of-the-usual-length' }, 'the secret of app 1'],
  ]) {
    const text =
      `apps: tenant ${tenant}: the fake at ${new URL(fake.url).host} has not shown ${what}, so the host does not ` +
      "send the app's secret to this fake; copy the app from the fake's page, or leave out the option `fake`";
    const app = { ...fake.appOf(tenant), ...wrong };
    await assert.rejects(Host.open({ ...usual, apps: [app] }), (error) => {
      assert.ok(error instanceof MisconfiguredError);
      assert.deepEqual([error.code, error.message], ['app-not-of-fake', text]);
      return true;
    });
    // A function may return other apps later, so the host checks them in each call.
    const host = await Host.open({ ...usual, apps: () => [app] });
    t.after(() => host.close());
    await assert.rejects(host.beginConsent({ tenant, customer, browser }), { code: 'credentials-refused' });
  }
  assert.deepEqual(await fake.ask('GET', '/requests'), []);
});

test('a host with a fake opens only if the fake answers', async () => {
  // No server listens on the port of the discard protocol.
  const opening = Host.open({ storage: 'memory:', keys: 'drawn', apps: [], fake: 'http://127.0.0.1:9' });
  await assert.rejects(opening, { code: 'fake-unavailable' });
});

test('a function provides the apps, and is asked for each tenant', async (t) => {
  const asked = [];
  let fake;
  const apps = (name) => {
    asked.push(name);
    const { appKey, appSecret, authorizationLink } = fake.appOf(name);
    return [{ appKey, appSecret: new Secret(appSecret), authorizationLink }];
  };
  const scene = await stage(t, { apps });
  ({ fake } = scene);
  assert.equal((await connected(scene)).status, 'active');
  assert.ok(asked.length > 0 && asked.every((name) => name === tenant), asked.join());
});

test('a wrong result of the function apps names the member and shows no value', async (t) => {
  const scene = await stage(t, { apps: () => [{ appKey: 'CANARY' }] });
  await assert.rejects(scene.host.beginConsent({ tenant, customer, browser }), (error) => {
    assert.match(error.message, /the result of the function apps: missing field `app_secret`/);
    assert.doesNotMatch(inspect(error), /CANARY/);
    return true;
  });
});

test('each request is reported for metrics', async (t) => {
  const ended = [];
  const scene = await stage(t, { onRequest: (one) => ended.push(one) });
  await connected(scene);
  await assert.rejects(scene.host.refresh({ tenant, customer: 'nobody' }));
  const seen = ended.map(({ operation, outcome, code }) => `${operation} ${outcome} ${code}`);
  assert.deepEqual(seen, [
    'open ok null',
    'begin-consent ok null',
    'finish-consent ok null',
    'refresh invalid-request not-connected',
  ]);
  assert.ok(ended.every(({ durationMs }) => durationMs > 0));
});

test('withRetries waits as long as the error says', async () => {
  const wait = () => Object.assign(Object.create(RetryAfterError.prototype), { retryAfterMs: 1 });
  let calls = 0;
  const answer = await connector.withRetries(60_000, async () => {
    calls += 1;
    if (calls < 3) throw wait();
    return calls;
  });
  assert.equal(answer, 3);
  await assert.rejects(
    connector.withRetries(0, async () => Promise.reject(wait())),
    RetryAfterError,
  );
});

test('withRetries refuses a time with which it would not repeat a call', async () => {
  const message = 'withRetries: give the time in milliseconds as a number, 0 or more';
  for (const within of [undefined, null, Number.NaN, -1, '60000']) {
    const retrying = connector.withRetries(within, () => assert.fail('a call has begun'));
    await assert.rejects(retrying, { name: 'TypeError', message });
  }
});

test('withRetries ends with the reason of its signal', async () => {
  const reason = new Error('the customer has left');
  const endsEarly = (retrying) => assert.rejects(retrying, (error) => error === reason);
  const never = () => assert.fail('a call has begun');
  await endsEarly(connector.withRetries(60_000, never, { signal: AbortSignal.abort(reason) }));

  const wait = Object.assign(Object.create(RetryAfterError.prototype), { retryAfterMs: 60_000 });
  const conflict = Object.create(StorageConflictError.prototype);
  for (const [error, abortsInPause] of [[wait, true], [wait, false], [conflict, false]]) {
    const controller = new AbortController();
    let calls = 0;
    const call = async () => {
      calls += 1;
      const abort = () => controller.abort(reason);
      if (abortsInPause) void turn().then(abort);
      else abort();
      throw error;
    };
    await endsEarly(connector.withRetries(120_000, call, { signal: controller.signal }));
    assert.equal(calls, 1);
  }
});

test('the logs go to a logger of JavaScript, without secrets', async (t) => {
  const lines = [];
  connector.logTo(pino({ level: 'trace' }, { write: (line) => lines.push(JSON.parse(line)) }), { level: 'trace' });
  const scene = await stage(t);
  await connected(scene);
  await assert.rejects(scene.host.refresh({ tenant, customer: 'nobody' }));
  while (!lines.some(({ code }) => code === 'not-connected')) await turn();
  const [line] = lines.filter(({ code }) => code === 'not-connected');
  assert.deepEqual([line.tenant, line.customer, line.operation], [tenant, 'nobody', 'refresh']);
  assert.doesNotMatch(JSON.stringify(lines), new RegExp(`ROW_|${scene.fake.app.app_secret}|${browser.expose()}`));
  assert.throws(() => connector.logTo(console, { level: 'loud' }), /the level of the logs/);
});
