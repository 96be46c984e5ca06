// The storage keeps the contract. TIKTOK_SHOP_TEST_POSTGRES contains the address of a server.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import pg from 'pg';
import { checkStorage } from 'tiktok-shop-connector';
import { openStorage } from '../src/postgres-storage.js';

const SERVER = process.env.TIKTOK_SHOP_TEST_POSTGRES;

/** Opens the storage in a new database. Both end with the test. */
async function opened(t) {
  assert.ok(SERVER, 'TIKTOK_SHOP_TEST_POSTGRES contains the address of a PostgreSQL server');
  const name = `storage_${randomBytes(8).toString('hex')}`;
  const server = new pg.Client({ connectionString: SERVER });
  await server.connect();
  await server.query(`CREATE DATABASE ${name}`);
  const address = new URL(SERVER);
  address.pathname = `/${name}`;
  const storage = await openStorage(address.href);
  t.after(async () => {
    await storage.end();
    await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await server.end();
  });
  return storage;
}

test('the storage keeps the contract', async (t) => {
  const outcomes = await checkStorage(await opened(t));
  assert.ok(outcomes.length > 30, `${outcomes.length} checks`);
  for (const { check, promise, failure } of outcomes) {
    await t.test(check, () => assert.equal(failure, null, promise));
  }
});
