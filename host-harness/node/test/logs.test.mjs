// The log records that wait while the event loop is blocked.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

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
      // The listener of the package blocks this thread until all calls have ended.
      process.emit('exit', 0);
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
