// The shim's time-out for connecting goes on counting after the request was sent. Its error `connection-timeout` then
// looks as if nothing had been sent. These tests show that the connector does not believe that: it sends nothing twice,
// and loses no pair of tokens.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ConnectorError } from '../src/host.js';
import { Fake, Stage } from '../src/scenario.js';

const CUSTOMER = 'customer-7';
const SHOP = '7490000000000000001';
const ORDERS = '/order/202309/orders/search';
const REFRESH = '/api/v2/token/refresh';
const EIGHT_DAYS = 8 * 86_400;

let fake;
let stage;
let errors;

beforeEach(async () => {
  fake = await Fake.start();
  stage = new Stage(fake, {}, { silenceMs: 1000 });
  errors = [];
  recordErrors();
  await stage.step({ switches: { replaced_refresh_token: { 'answered-again-for-seconds': 600 } } });
  await stage.step({ consent: { seller: 'one-shop', decision: 'allow' } });
  stage.connect({ customer: CUSTOMER, shops: 'all' });
});

afterEach(() => fake.stop());

/** Notes the error codes that the shim gives to the component. */
function recordErrors() {
  const handle = stage.egress.handle.bind(stage.egress);
  stage.egress.handle = (request) => {
    const future = handle(request);
    const get = future.get;
    future.get = () => {
      const result = get();
      if (result?.val?.tag === 'err') errors.push(result.val.val.tag);
      return result;
    };
    return future;
  };
}

/** TikTok Shop acts on the next request to this path, but never answers. */
function loseAnswer(path) {
  return stage.step({ fault: { path, name: 'reply lost: TikTok acted, no first byte', times: 1 } });
}

async function requestsTo(path) {
  return (await fake.ask('GET', '/requests')).filter((request) => request.path === path).length;
}

function refusal(call) {
  try {
    call();
  } catch (thrown) {
    if (thrown instanceof ConnectorError) return [thrown.action, thrown.failure.code];
    throw thrown;
  }
  throw new Error('there was no error');
}

test('a refresh whose connect timeout ends after sending is not repeated, and its tokens are not lost', async () => {
  await stage.step({ advance: EIGHT_DAYS });
  await loseAnswer(REFRESH);
  const refresh = (rotation) => stage.refresh({ customer: CUSTOMER, rotation });
  assert.deepEqual(refusal(() => refresh('when-due')), ['retry-after', 'answer-incomplete']);
  assert.deepEqual(errors, ['connection-timeout']);
  assert.deepEqual(refusal(() => refresh('forced')), ['retry-after', 'refresh-in-progress']);
  assert.equal(await requestsTo(REFRESH), 1);

  await stage.step({ advance: 121 }); // a claim lasts 120 s
  assert.equal(refresh('when-due').effect, 'renewed');
  await stage.step({ advance: EIGHT_DAYS });
  assert.equal(refresh('when-due').effect, 'renewed');
});

test('a call whose connect timeout ends after sending is not reported as a call that can be repeated', async () => {
  await loseAnswer(ORDERS);
  const request = { method: 'post', path: ORDERS, query: [['page_size', '2']], body: '{}' };
  const search = () => stage.callExport({ customer: CUSTOMER, shop: SHOP, ...request });
  assert.deepEqual(refusal(search), ['upstream', 'outcome-unknown']);
  assert.deepEqual(errors, ['connection-timeout']);
  assert.equal(await requestsTo(ORDERS), 1);
});
