// The log records that wait while the event loop is blocked, or when it does not turn any more.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import test from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PACKAGE = createRequire(import.meta.url).resolve('tiktok-shop-connector/package.json');

test('at most 10 000 log records wait for the event loop', async () => {
  const code = `
    import { setTimeout as sleep } from 'node:timers/promises';
    import { Host, logTo } from 'tiktok-shop-connector';
    let records = 0;
    const write = () => { records += 1; };
    logTo({ error: write, warn: write, info: write, debug: write, trace: write }, { level: 'trace' });
    const apps = [{ tenant: 'acme', appKey: '6abcdefghijkl', appSecret: 'a-secret-of-the-usual-length' }];
    const limits = { tenantPercent: 100 };
    // A module that still waits at its top level would make Node.js end with a status of its own after the event.
    async function main() {
      const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps, limits });
      const list = () => host.listShops({ tenant: 'acme', customer: 'customer-7' }).catch(() => {});
      const before = records;
      const ended = Array.from({ length: 11_000 }, list);
      // The last listener of the package blocks this thread until all calls have ended. Then it hands over the records.
      process.listeners('exit').at(-1)(0);
      // The package does not keep the process alive any more.
      const alive = setInterval(() => {}, 1_000);
      await Promise.all(ended);
      for (let seen = -1; seen !== records; await sleep(50)) seen = records;
      clearInterval(alive);
      console.log(records - before);
    }
    void main();
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code]);
  assert.equal(Number(stdout), 10_000);
});

test('the records of the last requests are handed over when the process exits', async () => {
  const code = `
    import { writeSync } from 'node:fs';
    import { Host, logTo } from 'tiktok-shop-connector';
    const write = ({ code, customer }) => { if (code) writeSync(1, code + ' of ' + customer + ';'); };
    logTo({ error: write, warn: write, info: write, debug: write, trace: write }, { level: 'trace' });
    const apps = [{ tenant: 'acme', appKey: '6abcdefghijkl', appSecret: 'a-secret-of-the-usual-length' }];
    const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps });
    for (let number = 0; number < 20; number += 1) {
      host.refresh({ tenant: 'acme', customer: 'customer-' + number }).catch(() => {});
    }
    process.exit(0);
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code]);
  const logged = stdout.split(';');
  for (let number = 0; number < 20; number += 1) {
    assert.ok(logged.includes(`not-connected of customer-${number}`), stdout);
  }
});

/**
 * Runs this code in a process of its own, and returns its output. In place of the addon there is one with 1000 records,
 * which the package fetches after `begin` was called. If the process does not end by itself, it is killed.
 */
async function withRecords(code) {
  const whole = `
    import { createRequire } from 'node:module';
    const require = createRequire(${JSON.stringify(PACKAGE)});
    const record = JSON.stringify({ level: 'info', target: 'tiktok_shop_host', message: 'a record', fields: {} });
    const records = [];
    let fetchLogs;
    const addon = {
      forwardLogs: (level, fetch) => { fetchLogs = fetch; },
      takeLogs: (limit) => records.splice(0, limit),
    };
    const file = require.resolve('./lib/addon.cjs');
    require.cache[file] = { id: file, filename: file, loaded: true, exports: { addon } };
    const { logTo } = require('./lib/logs.cjs');
    const begin = () => {
      records.push(...Array.from({ length: 1_000 }, () => record));
      fetchLogs();
    };
    ${code}
  `;
  const args = ['--input-type=module', '--eval', whole];
  const { stdout } = await run(process.execPath, args, { timeout: 60_000 });
  return stdout;
}

test('records that wait are handed over although nothing else wakes the event loop', async () => {
  const stdout = await withRecords(`
    const alive = setInterval(() => {}, 0x7fff_ffff);
    let logged = 0;
    const write = () => {
      logged += 1;
      if (logged === 1_000) clearInterval(alive);
    };
    logTo({ error: write, warn: write, info: write, debug: write, trace: write });
    begin();
    process.on('exit', () => console.log(logged));
  `);
  assert.equal(Number(stdout), 1_000);
});

test('a process ends after it has handed over the records that wait', async () => {
  const stdout = await withRecords(`
    let logged = 0;
    const write = () => { logged += 1; };
    logTo({ error: write, warn: write, info: write, debug: write, trace: write });
    process.once('beforeExit', () => console.log(logged));
    begin();
  `);
  assert.equal(Number(stdout), 1_000);
});
