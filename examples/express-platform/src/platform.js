// Puts the platform together: the host, the web server, the sweeps and the metrics, and their common end.

import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Histogram, Registry } from 'prom-client';
import { Host } from 'tiktok-shop-connector';
import { createApp } from './app.js';

/** Starts the platform. The result has its address, its queue of events, and the function `stop`. */
export async function startPlatform({ hostOptions, tenant, port, log, sweepMs = 300_000, consentPage }) {
  const metrics = new Registry();
  const host = await Host.open({ ...hostOptions, onRequest: observer(metrics) });
  const queue = [];
  const server = createServer(createApp({ host, tenant, log, metrics, queue, consentPage }));
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const stopping = new AbortController();
  const sweeping = sweepUntil(stopping.signal, host, log, sweepMs);

  async function stop() {
    stopping.abort();
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeIdleConnections();
    });
    await sweeping;
    await host.close(); // waits until every token is saved
  }
  return { address: `http://127.0.0.1:${server.address().port}`, host, queue, stop };
}

/** Refreshes the due connections again and again. */
async function sweepUntil(signal, host, log, everyMs) {
  while (!signal.aborted) {
    try {
      const swept = await host.sweep({}, { signal });
      const { refreshed, failed, unusable } = swept;
      log[failed || unusable ? 'error' : 'info']({ refreshed, failed, unusable }, 'swept');
    } catch (error) {
      log.error({ code: error.code, error }, 'a sweep failed');
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}

/** Returns a function that counts requests. */
function observer(registry) {
  const labelNames = ['operation', 'outcome'];
  const registers = [registry];
  const calls = new Counter({ name: 'tiktok_shop_calls_total', help: 'Requests that have ended', labelNames, registers });
  const seconds = new Histogram({ name: 'tiktok_shop_call_seconds', help: 'Their time', labelNames, registers });
  return ({ operation, outcome, durationMs }) => {
    calls.inc({ operation, outcome });
    seconds.observe({ operation, outcome }, durationMs / 1000);
  };
}
