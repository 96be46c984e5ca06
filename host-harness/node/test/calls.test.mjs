// The query and the body of a call: what is sent, and what is refused because something else would be sent.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Secret } from 'tiktok-shop-connector';
import { SHOP, connected, customer, stage, tenant } from './stage.mjs';

const SEARCH = { tenant, customer, shop: SHOP, method: 'POST', path: '/order/202309/orders/search' };

test('each kind of query and body is sent as it is', async (t) => {
  const scene = await stage(t);
  await connected(scene);
  const text = JSON.stringify({ order_status: 'UNPAID' });
  const bytes = new TextEncoder().encode(text);
  for (const body of [
    { create_time_ge: new Date(0), deep: [{ nothing: null }], left_out: undefined },
    Object.assign(Object.create(null), { order_status: 'UNPAID' }),
    text,
    bytes,
    bytes.buffer,
    new DataView(bytes.buffer),
  ]) {
    const answer = await scene.host.call({ ...SEARCH, query: { page_size: 1 }, body });
    assert.equal(answer.isSuccess, true, answer.text());
  }
  for (const query of [
    { page_size: 1n, page_token: undefined, sort: 'x', all: true },
    new URLSearchParams('page_size=1'),
    new Map([['page_size', 1]]),
    [['page_size', 1], ['page_token', undefined]],
  ]) {
    const answer = await scene.host.call({ ...SEARCH, query, body: {} });
    assert.equal(answer.isSuccess, true, answer.text());
  }
});

test('a query of which something else would be sent is refused', async (t) => {
  const { host } = await stage(t);
  const whole = 'query: give an object, URLSearchParams, or pairs of a name and a value';
  const value = 'query: a is no string, finite number, bigint or boolean';
  for (const [query, message] of [
    ['page_size=20', whole],
    [null, whole],
    [20, whole],
    [new Secret('page_size=20'), whole],
    [['ab'], whole],
    [[['a', '1', '2']], whole],
    [new Map([[1, 'a']]), whole],
    [{ a: null }, value],
    [{ a: ['1'] }, value],
    [{ a: Number.NaN }, value],
    [{ a: new Date() }, value],
    [{ a: new Secret('CANARY') }, value],
    [[['a', null]], value],
  ]) {
    await assert.rejects(host.call({ ...SEARCH, query, body: {} }), { name: 'TypeError', message });
  }
});

test('a body of which something else would be sent is refused', async (t) => {
  const { host } = await stage(t);
  const whole = 'body: give a plain object or an array, which is sent as JSON, or a text, or bytes';
  const member = 'body: a member is no plain object, array, text, number or boolean, and has no function toJSON';
  class Order {
    id = 1;
  }
  for (const [body, message] of [
    [new FormData(), whole],
    [new Blob(['a']), whole],
    [new URLSearchParams('a=1'), whole],
    [new Map([['a', 1]]), whole],
    [new Secret('CANARY'), whole],
    [new Order(), whole],
    [new Date(), whole],
    [Promise.resolve({}), whole],
    [() => {}, whole],
    [1n, whole],
    [Number.NaN, whole],
    [{ a: new Map() }, member],
    [[new Secret('CANARY')], member],
    [{ a: [Buffer.from('a')] }, member],
    [{ a: new Order() }, member],
    [{ a: Number.NaN }, member],
    [[Number.POSITIVE_INFINITY], member],
    [[undefined], member],
    [{ a: () => {} }, member],
    [{ a: Symbol('a') }, member],
    ['\ud800', 'body: the text has half of a surrogate pair'],
  ]) {
    await assert.rejects(host.call({ ...SEARCH, body }), { name: 'TypeError', message });
  }
});

test('a text that is no Unicode is a wrong argument', async (t) => {
  const { host } = await stage(t);
  for (const call of [
    host.listShops({ tenant, customer: 'customer-\ud800' }),
    host.call({ ...SEARCH, query: { page_token: '\udc00' }, body: {} }),
  ]) {
    await assert.rejects(call, ({ code, message }) => {
      assert.equal(code, 'invalid-argument');
      return message.startsWith('a text in the arguments has half of a surrogate pair');
    });
  }
});
