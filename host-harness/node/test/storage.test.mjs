// A storage that is written in JavaScript keeps the contract, and a broken one does not.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import { checkStorage } from 'tiktok-shop-connector';
import { MemoryStorage } from './memory-storage.mjs';

const require = createRequire(import.meta.url);
const PACKAGE = path.dirname(require.resolve('tiktok-shop-connector/package.json'));

test('a storage in JavaScript keeps the contract, and the declarations name its functions', async (t) => {
  const called = new Set();
  const get = (storage, name) => {
    called.add(name);
    return storage[name].bind(storage);
  };
  const outcomes = await checkStorage(new Proxy(new MemoryStorage(), { get }));
  assert.ok(outcomes.length > 30, `${outcomes.length} checks`);
  for (const { check, promise, failure } of outcomes) {
    await t.test(check, () => assert.equal(failure, null, promise));
  }
  const declarations = readFileSync(path.join(PACKAGE, 'lib/storage.d.cts'), 'utf8');
  for (const name of called) assert.match(declarations, new RegExp(`^  ${name}\\(`, 'm'), name);
});

test('the result of a function that returns nothing is not read', async () => {
  /** A storage whose functions return the answer of its driver, which has no JSON. */
  const ofDriver = (target, name) => {
    const isTold = /^(put|release|close|remember)|^delete(Install|Expired)$/.test(name);
    return async (named) => {
      const result = await target[name](named);
      return isTold ? { rowCount: 1n } : result;
    };
  };
  const outcomes = await checkStorage(new Proxy(new MemoryStorage(), { get: ofDriver }));
  const failed = outcomes.filter(({ failure }) => failure !== null);
  assert.deepEqual(failed, []);
});

test('the contract notices a swap that ignores the revision', async () => {
  class Broken extends MemoryStorage {
    swapToken(named) {
      const stored = this.loadToken(named);
      return super.swapToken({ ...named, expected: stored?.revision ?? null });
    }
  }
  const broken = (await checkStorage(new Broken())).filter(({ failure }) => failure !== null);
  assert.notEqual(broken.length, 0);
});

test('a host asks an object for all functions of a storage that the declarations name', () => {
  const { FUNCTIONS } = require(path.join(PACKAGE, 'lib/storage.cjs'));
  const declarations = readFileSync(path.join(PACKAGE, 'lib/storage.d.cts'), 'utf8');
  const declared = [...declarations.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name);
  assert.deepEqual(FUNCTIONS.toSorted(), declared.sort());
});
