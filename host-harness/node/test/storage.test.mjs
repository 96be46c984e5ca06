// A storage that is written in JavaScript keeps the contract, and a broken one does not.

import assert from 'node:assert/strict';
import test from 'node:test';
import { checkStorage } from 'tiktok-shop-connector';
import { MemoryStorage } from './memory-storage.mjs';

test('a storage in JavaScript keeps the contract', async (t) => {
  const outcomes = await checkStorage(new MemoryStorage());
  assert.ok(outcomes.length > 30, `${outcomes.length} checks`);
  for (const { check, promise, failure } of outcomes) {
    await t.test(check, () => assert.equal(failure, null, promise));
  }
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
