// What `acceptWebhook` and `receiveWebhook` do with a missing header and with a body that is not bytes.

import assert from 'node:assert/strict';
import test from 'node:test';
import { stage, tenant } from './stage.mjs';

const BYTES = Buffer.from('{"type":5}');
const neverCalled = () => assert.fail('handled');

test('a webhook without a signature is a forged one', async (t) => {
  const { host } = await stage(t);
  const outcomes = [];
  for (const head of [{}, { authorization: undefined }, { authorization: null }, { authorization: 'forged' }]) {
    const { status, reply, error } = await host.acceptWebhook({ tenant, ...head, body: BYTES }, neverCalled);
    outcomes.push([status, reply, error]);
    await assert.rejects(host.receiveWebhook({ tenant, ...head, body: BYTES }), { code: 'webhook-signature-invalid' });
  }
  for (const outcome of outcomes) assert.deepEqual(outcome, [401, 'forged', null]);
});

test('the bytes of a webhook may be any view of a buffer, and may be empty', async (t) => {
  const { host } = await stage(t);
  const buffer = new Uint8Array(BYTES).buffer;
  for (const body of [buffer, new DataView(buffer), new Uint8Array(buffer), Buffer.alloc(0)]) {
    const { reply } = await host.acceptWebhook({ tenant, authorization: 'forged', body }, neverCalled);
    assert.equal(reply, 'forged');
  }
});

test('a body that is not bytes is refused', async (t) => {
  const { host } = await stage(t);
  const message = 'body: give the bytes of the body as they arrived, for example with express.raw(), not a parsed body';
  for (const body of [{ type: 5 }, [], '{"type":5}', undefined, null, 5]) {
    const delivery = { tenant, authorization: 'forged', body };
    await assert.rejects(host.acceptWebhook(delivery, neverCalled), { name: 'TypeError', message });
    await assert.rejects(host.receiveWebhook(delivery), { name: 'TypeError', message });
  }
});

test('a webhook without a function is refused, and not received', async (t) => {
  const { host } = await stage(t);
  const message = 'handle: give a function';
  for (const handle of [undefined, null, { add: neverCalled }]) {
    const accepting = host.acceptWebhook({ tenant, authorization: 'forged', body: BYTES }, handle);
    await assert.rejects(accepting, { name: 'TypeError', message });
  }
});
