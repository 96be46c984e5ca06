// The package in worker threads. The thread that loads the package first ends before the others begin.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { setImmediate as turn } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const named = { tenant: 'acme', customer: 'acme-1' };

const withHost = async (call) => {
  const { Host } = await import('tiktok-shop-connector');
  const apps = [{ tenant: 'acme', appKey: '6abcdefghijkl', appSecret: 'a-secret-of-the-usual-length' }];
  const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps });
  const answer = await call(host);
  await host.close();
  return answer;
};

const TASKS = {
  listed: () => withHost((host) => host.listConnections(named)),
  refused: () => withHost((host) => host.refresh(named).catch(({ code }) => code)),
  logged: async () => {
    const { logTo } = await import('tiktok-shop-connector');
    try {
      logTo(console);
      return 'the worker has taken the logs';
    } catch ({ message }) {
      return message;
    }
  },
};

const inWorker = async (task = 'listed') => {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: task });
  const ended = once(worker, 'exit');
  const [answer] = await once(worker, 'message');
  const [code] = await ended;
  assert.equal(code, 0);
  return answer;
};

if (isMainThread) {
  test('the package works after the thread that loaded it has ended', async () => {
    for (const thread of [1, 2, 3]) assert.deepEqual(await inWorker(), [], `worker ${thread}`);
    assert.deepEqual(await Promise.all([inWorker(), inWorker(), TASKS.listed()]), [[], [], []]);
  });

  test('a worker can not take the logs, and the main thread gets those of the workers', async () => {
    const { logTo } = await import('tiktok-shop-connector');
    const codes = [];
    const write = ({ code }) => codes.push(code);
    logTo({ error: write, warn: write, info: write, debug: write, trace: write }, { level: 'trace' });
    const message = 'logTo: call it on the main thread, which gets the logs of all threads';
    assert.equal(await inWorker('logged'), message);
    assert.equal(await inWorker('refused'), 'not-connected');
    while (!codes.includes('not-connected')) await turn();
  });
} else {
  parentPort.postMessage(await TASKS[workerData]());
}
