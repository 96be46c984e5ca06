// Measures the package: one signed call, compared with fetch and node:crypto, and how long calls block the event loop.
//
// node scripts/measure.mjs
//
// Needs `cargo build --release --package tiktok-shop-bench`, whose command `serve` answers as TikTok Shop does, and a
// package that was assembled from a release build. TIKTOK_SHOP_BENCH names another program of the bench.

import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Host } from '../lib/index.mjs';

const WORKSPACE = fileURLToPath(new URL('../../..', import.meta.url));
const TARGET = path.resolve(WORKSPACE, process.env.CARGO_TARGET_DIR ?? 'target');
const BENCH = process.env.TIKTOK_SHOP_BENCH ?? path.join(TARGET, 'release/tiktok-shop-bench');
const YARDSTICK = path.join(WORKSPACE, 'bench/yardsticks/call.mjs');
const ROUNDS = 7;
const CALLS = 2_000;
const APP = { appKey: '6abcdefghijkl', appSecret: 'an-app-secret-of-the-usual-length-00000000' };
const TOKEN = 'ROW_bench-access-token-of-the-usual-length-0000000000000000';
const CIPHER = 'ROW_Fq3kzwAAAABz0cP0iVgXl2bT4nYh8sQe';
const ORDERS = '/order/202309/orders/search';
const FILTER = '{"order_status":"UNPAID"}';
const named = { tenant: 'acme', customer: 'customer-7' };

/** Starts a server of the bench. It ends with its standard input. */
async function startServer(...args) {
  const program = spawn(BENCH, ['serve', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  for await (const line of createInterface(program.stdout)) {
    return { url: `http://${JSON.parse(line).address}`, stop: () => program.stdin.end() };
  }
  throw new Error(`${BENCH} did not start`);
}

async function connectedTo({ url }) {
  const apps = [{ tenant: named.tenant, ...APP }];
  const limits = { tenantPercent: 100 };
  const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps, fake: url, limits });
  const { shops } = await host.connect({ ...named, code: 'a-code-of-the-bench' });
  const request = { ...named, shop: shops[0].id, method: 'POST', path: ORDERS, query: { page_size: 20 }, body: FILTER };
  const call = async () => {
    const answer = await host.call(request);
    if (answer.json().code !== 0) throw new Error(`code ${answer.code}`);
  };
  return { host, call };
}

const quantile = (numbers, part) =>
  [...numbers].sort((one, other) => one - other)[Math.ceil(numbers.length * part) - 1];
const median = (numbers) => quantile(numbers, 0.5);

/** The median time of a call, in microseconds. */
async function ours(call) {
  const times = [];
  for (let warm = 0; warm < 500; warm += 1) await call();
  for (let number = 0; number < CALLS; number += 1) {
    const began = process.hrtime.bigint();
    await call();
    times.push(Number(process.hrtime.bigint() - began) / 1000);
  }
  return median(times);
}

/** The median time of a call with fetch and createHmac, in a process of its own. */
function theirs({ url }) {
  const args = [YARDSTICK, url, APP.appKey, APP.appSecret, TOKEN, CIPHER, ORDERS, FILTER, CALLS];
  return Number(execFileSync(process.execPath, args.map(String), { encoding: 'utf8' }));
}

/** How long the event loop is late, in milliseconds, while this number of calls is in flight. */
async function lateness(call, inFlight, calls) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let left = calls;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  delay.enable();
  await Promise.all(Array.from({ length: inFlight }, worker));
  delay.disable();
  // The timer of the monitor itself takes one millisecond.
  return { p50: delay.percentile(50) / 1e6 - 1, p99: delay.percentile(99) / 1e6 - 1 };
}

const server = await startServer();
const { host, call } = await connectedTo(server);
const rounds = [];
for (let round = 0; round < ROUNDS; round += 1) rounds.push({ ours: await ours(call), theirs: theirs(server) });
const ratios = rounds.map((round) => round.ours / round.theirs);
const us = (who) => median(rounds.map((round) => round[who])).toFixed(0);
const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
console.log(`one signed call: ${us('ours')} µs, fetch and createHmac ${us('theirs')} µs`);
console.log(`ratio: ${median(ratios).toFixed(2)} (${range}, ${ROUNDS} rounds)`);
await host.close();
server.stop();

const slow = await startServer('--delay-ms', '20');
const busy = await connectedTo(slow);
await lateness(busy.call, 64, 2_000);
const { p50, p99 } = await lateness(busy.call, 64, 10_000);
console.log(`event loop with 64 calls in flight: late by ${p50.toFixed(2)} ms at p50, ${p99.toFixed(2)} ms at p99`);
await busy.host.close();
slow.stop();
