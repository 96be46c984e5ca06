// On a machine for which the package has no addon, loading it says so.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { folder } from './stage.mjs';

const PACKAGE = path.dirname(createRequire(import.meta.url).resolve('tiktok-shop-connector/package.json'));
const run = promisify(execFile);

/** Loads the package in this folder in a process of its own, and returns the message of the error and of its cause. */
async function loaded(at, before = '') {
  const code = `
    ${before}
    try {
      require(${JSON.stringify(at)});
    } catch ({ message, cause }) {
      console.log(JSON.stringify({ message, cause: cause?.message }));
    }
  `;
  const { stdout } = await run(process.execPath, ['--eval', code]);
  return JSON.parse(stdout);
}

test('a Linux with musl needs another addon than one with glibc', { skip: process.platform !== 'linux' }, async () => {
  const musl = 'process.report.getReport = () => ({ header: {} });';
  const { message } = await loaded(PACKAGE, musl);
  const machine = `linux-${process.arch}`;
  const text = `this package has an addon for ${machine}, and none for ${machine}-musl`;
  assert.equal(message, `tiktok-shop-connector: ${text}`);
});

test('an addon that the system does not load is named, with the cause', async (t) => {
  const at = folder(t);
  cpSync(PACKAGE, at, { recursive: true });
  const [addon] = readdirSync(path.join(at, 'native')).filter((name) => name.endsWith('.node'));
  writeFileSync(path.join(at, 'native', addon), 'no addon');
  const { message, cause } = await loaded(at);
  const machine = path.basename(addon, '.node');
  assert.ok(message.startsWith(`tiktok-shop-connector: the addon for ${machine} can't be loaded. `), message);
  assert.ok(cause.includes(addon), cause);
});
