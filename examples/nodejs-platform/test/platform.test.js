// Plays a customer in a browser, and TikTok Shop, against the running platform, on each framework.

import assert from 'node:assert/strict';
import test from 'node:test';
import pino from 'pino';
import * as express from '../src/express.js';
import { consentPageOf, startFake } from '../src/fake.js';
import * as fastify from '../src/fastify.js';
import { page } from '../src/page.js';
import { startPlatform } from '../src/platform.js';
import { within } from '../src/within.js';

const tenant = 'acme';
const SHOP = '7490000000000000001';

async function stage(t, { listen }) {
  const fake = await startFake('http://127.0.0.1:1/callback');
  t.after(() => fake.stop());
  const hostOptions = { storage: 'memory:', keys: 'drawn', apps: [{ tenant, ...fake.app }], fake: fake.url };
  const lines = [];
  const log = pino({ level: 'trace' }, { write: (line) => lines.push(line) });
  const consentPage = consentPageOf(fake);
  const platform = await startPlatform({ listen, hostOptions, tenant, port: 0, log, consentPage });
  t.after(() => platform.stop());
  return { fake, platform, lines };
}

/** A browser: it keeps the cookie and follows no redirect. */
class Browser {
  #cookie = '';

  constructor(address) {
    this.address = address;
  }

  async ask(method, path, headers = {}) {
    const url = new URL(path, this.address);
    const answer = await fetch(url, { method, redirect: 'manual', headers: { cookie: this.#cookie, ...headers } });
    const [cookie] = answer.headers.getSetCookie();
    if (cookie) [this.#cookie] = cookie.split(';');
    return { status: answer.status, location: answer.headers.get('location'), text: await answer.text() };
  }
}

async function control(fake, path, body) {
  const request = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  };
  const answer = await fetch(`${fake.url}/_control${path}`, request);
  assert.ok(answer.ok);
  return answer.json();
}

/** Lets the seller decide, and returns the path of the callback. */
async function decide(fake, link, decision) {
  assert.ok(link.startsWith(`${fake.url}/open/authorize?`), link);
  const state = new URL(link).searchParams.get('state');
  const consent = { service_id: fake.serviceId, seller: 'one-shop', decision, state };
  const { callback_query: query } = await control(fake, '/consent', consent);
  return `/callback?${query}`;
}

async function connect(browser, fake, decision = 'allow') {
  const { status, location } = await browser.ask('POST', '/connect');
  assert.equal(status, 303);
  return browser.ask('GET', await decide(fake, location, decision));
}

for (const [name, framework] of [
  ['Express', express],
  ['Fastify', fastify],
]) {
  test(`on ${name}, a customer connects a shop, sees its orders and disconnects it`, async (t) => {
    const { fake, platform, lines } = await stage(t, framework);
    const browser = new Browser(platform.address);
    assert.match((await browser.ask('GET', '/')).text, /Connect TikTok Shop/);
    assert.equal((await connect(browser, fake)).location, '/?message=connected');
    const { text } = await browser.ask('GET', '/?message=connected');
    assert.match(text, /The shop is connected\./);
    assert.match(text, /Teapot Corner \(GB\)/);
    const orders = await browser.ask('GET', `/shops/${SHOP}/orders`);
    assert.deepEqual([orders.status, JSON.parse(orders.text).code], [200, 0]);
    // Another customer does not see the shop, and can't use it.
    const other = new Browser(platform.address);
    assert.doesNotMatch((await other.ask('GET', '/')).text, /Teapot/);
    assert.equal((await other.ask('GET', `/shops/${SHOP}/orders`)).status, 404);
    assert.match(lines.join(''), /"err":\{"type":"InvalidRequestError","message":"[^"]/);
    assert.equal((await browser.ask('POST', '/disconnect')).status, 303);
    assert.doesNotMatch((await browser.ask('GET', '/')).text, /Teapot/);
    const metrics = await browser.ask('GET', '/metrics');
    assert.match(metrics.text, /tiktok_shop_calls_total\{operation="call",outcome="ok"\} 1/);
    assert.doesNotMatch(lines.join(''), /ROW_/);
  });

  test(`on ${name}, each way in which a consent ends has its message`, async (t) => {
    const { fake, platform } = await stage(t, framework);
    const browser = new Browser(platform.address);
    assert.equal((await connect(browser, fake, 'refuse')).location, '/?message=refused');
    const { location } = await browser.ask('POST', '/connect');
    const callback = await decide(fake, location, 'allow');
    assert.equal((await new Browser(platform.address).ask('GET', callback)).location, '/?message=other-browser');
    assert.equal((await browser.ask('GET', callback)).location, '/?message=connected');
    assert.equal((await browser.ask('GET', callback)).location, '/?message=start-again');
  });

  test(`on ${name}, a form of another site is refused`, async (t) => {
    const { platform } = await stage(t, framework);
    const browser = new Browser(platform.address);
    assert.equal((await browser.ask('POST', '/connect', { 'sec-fetch-site': 'cross-site' })).status, 403);
  });

  test(`on ${name}, a webhook reaches the queue once, and a forged one never`, async (t) => {
    const { fake, platform } = await stage(t, framework);
    const browser = new Browser(platform.address);
    await connect(browser, fake);
    await control(fake, '/sellers/one-shop/deauthorize', { service_id: fake.serviceId });
    const [webhook] = await control(fake, '/webhooks');
    const headers = Object.fromEntries(webhook.headers);
    const deliver = (body) => fetch(`${platform.address}/webhooks/${tenant}`, { method: 'POST', headers, body });
    assert.equal((await deliver(`${webhook.body} `)).status, 401);
    assert.equal((await deliver(webhook.body)).status, 200);
    assert.equal((await deliver(webhook.body)).status, 200);
    assert.deepEqual(
      platform.queue.events.map(({ eventType, shop }) => [eventType, shop]),
      [[6, SHOP]],
    );
  });
}

test('the page shows no message that it does not have', () => {
  const shown = (message) => page({ connections: [], shops: [], message });
  assert.match(shown('connected'), /role="status"/);
  for (const message of ['constructor', 'toString', '__proto__', 'other', undefined, ['a', 'b']]) {
    assert.doesNotMatch(shown(message), /role="status"/);
  }
});

test('work that does not end is given up', async () => {
  await assert.rejects(within(1, new Promise(() => {})), { message: 'the work has not ended after 1 ms' });
  assert.equal(await within(60_000, 'done'), 'done');
});
