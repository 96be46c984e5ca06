// The log records that wait while the event loop is blocked, or when it does not turn any more.

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
