// Puts the platform together: the host, the web server, the sweeps and the metrics, and their common end.

import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Histogram, Registry } from 'prom-client';
import { Host } from 'tiktok-shop-connector';
import { Queue } from './queue.js';

/** Starts the platform. The result has its address, its queue of events, and the function `stop`. */
export async function startPlatform({ listen, hostOptions, tenant, port, log, consentPage = (link) => link }) {
  const metrics = new Registry();
  const host = await Host.open({ ...hostOptions, onRequest: observer(metrics) });
  const queue = new Queue();
  const server = await listen(port, { host, tenant, log, metrics, queue, consentPage });
  const stopping = new AbortController();
  const sweeping = sweepUntil(stopping.signal, host, log, 300_000);

  async function stop() {
    stopping.abort();
    await server.close();
    await sweeping;
    await host.close(); // waits until every token is saved
  }
  return { address: server.address, queue, stop };
}

/** Refreshes the due connections again and again. */
async function sweepUntil(signal, host, log, everyMs) {
  while (!signal.aborted) {
    try {
      const { refreshed, failed, unusable } = await host.sweep({}, { signal });
      log[failed || unusable ? 'error' : 'info']({ refreshed, failed, unusable }, 'swept');
    } catch (error) {
      log.error({ code: error.code, err: error }, 'a sweep failed');
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}

/** Returns a function that counts requests. */
function observer(registry) {
  const labelNames = ['operation', 'outcome'];
  const registers = [registry];
  const calls = new Counter({
    name: 'tiktok_shop_calls_total',
    help: 'Requests that have ended',
    labelNames,
    registers,
  });
  const seconds = new Histogram({ name: 'tiktok_shop_call_seconds', help: 'Their time', labelNames, registers });
  return ({ operation, outcome, durationMs }) => {
    calls.inc({ operation, outcome });
    seconds.observe({ operation, outcome }, durationMs / 1000);
  };
}
