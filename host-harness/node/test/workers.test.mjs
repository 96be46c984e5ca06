// The package in worker threads. The thread that loads the package first ends before the others begin.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const listed = async () => {
  const { Host } = await import('tiktok-shop-connector');
  const apps = [{ tenant: 'acme', appKey: '6abcdefghijkl', appSecret: 'a-secret-of-the-usual-length' }];
  const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps });
  const connections = await host.listConnections({ tenant: 'acme', customer: 'acme-1' });
  await host.close();
  return connections;
};

const inWorker = async () => {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const ended = once(worker, 'exit');
  const [answer] = await once(worker, 'message');
  const [code] = await ended;
  assert.equal(code, 0);
  return answer;
};

if (isMainThread) {
  test('the package works after the thread that loaded it has ended', async () => {
    for (const thread of [1, 2, 3]) assert.deepEqual(await inWorker(), [], `worker ${thread}`);
    assert.deepEqual(await Promise.all([inWorker(), inWorker(), listed()]), [[], [], []]);
  });
} else {
  parentPort.postMessage(await listed());
}
