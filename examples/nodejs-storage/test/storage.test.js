// The storage keeps the contract. TIKTOK_SHOP_TEST_POSTGRES contains the address of a server.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { checkStorage } from 'tiktok-shop-connector';
import { checkAddress } from '../src/address.js';
import { Database } from '../src/database.js';
import { openStorage } from '../src/postgres-storage.js';

const EXAMPLE = fileURLToPath(new URL('..', import.meta.url));
const SERVER = process.env.TIKTOK_SHOP_TEST_POSTGRES;

/** Makes a database, and opens a storage or a pool in it with `open`. All of them end with the test. */
async function opened(t, open) {
  assert.ok(SERVER, 'TIKTOK_SHOP_TEST_POSTGRES contains the address of a PostgreSQL server');
  const name = `storage_${randomBytes(8).toString('hex')}`;
  const server = new pg.Client({ connectionString: SERVER });
  await server.connect();
  await server.query(`CREATE DATABASE ${name}`);
  const address = new URL(SERVER);
  address.pathname = `/${name}`;
  const inside = await open(address.href);
  t.after(async () => {
    await inside.end();
    await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await server.end();
  });
  return { inside, address: address.href };
}

/** Opens a pool. Its connections may break at the end of a test, when the database is dropped. */
function openPool(connectionString, options = {}) {
  return new pg.Pool({ connectionString, ...options }).on('error', () => {});
}

/** Opens a connection in whose transaction this statement has taken a lock. */
async function locked(address, statement) {
  const client = new pg.Client({ connectionString: address });
  await client.connect();
  await client.query('BEGIN');
  await client.query(statement);
  return client;
}

async function exists(database, table) {
  const [{ found }] = await database.all('SELECT to_regclass($1) IS NOT NULL AS found', [table]);
  return found;
}

test('the storage keeps the contract', async (t) => {
  const { inside: storage } = await opened(t, openStorage);
  const outcomes = await checkStorage(storage);
  assert.ok(outcomes.length > 30, `${outcomes.length} checks`);
  for (const { check, promise, failure } of outcomes) {
    await t.test(check, () => assert.equal(failure, null, promise));
  }
});

test('a connection that breaks between two statements undoes them, and the process goes on', async (t) => {
  const { inside: pool, address } = await opened(t, openPool);
  const code = `
    import pg from 'pg';
    import { Database } from './src/database.js';
    const pool = new pg.Pool({ connectionString: process.env.ADDRESS });
    let closed;
    pool.once('acquire', (client) => {
      closed = new Promise((resolve) => client.connection.stream.once('close', resolve));
    });
    const database = new Database(pool);
    const writing = database.transaction(async (transaction) => {
      await transaction.change('CREATE TABLE undone (id int)');
      const [{ pid }] = await transaction.all('SELECT pg_backend_pid() AS pid');
      await database.all('SELECT pg_terminate_backend($1)', [pid]);
      await closed;
    });
    await writing.then(() => process.exit(2), () => {});
    await database.all('SELECT 1');
    await pool.end();
  `;
  const options = { cwd: EXAMPLE, encoding: 'utf8', env: { ...process.env, ADDRESS: address } };
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], options);
  assert.equal(status, 0, stderr);
  assert.equal(await exists(new Database(pool), 'undone'), false);
});

test('a write that waits for a lock fails, and is not carried out later', { timeout: 60_000 }, async (t) => {
  const { inside: storage, address } = await opened(t, openStorage);
  const other = await locked(address, 'LOCK TABLE tokens IN EXCLUSIVE MODE');
  const key = { tenant: 'acme', customer: 'customer-7', account: 'account-1' };
  const next = { revision: '1', value: { key: 'key-1', bytes: '00' }, refreshDueAt: null };
  await assert.rejects(storage.swapToken({ ...key, expected: null, next }), { code: '57014' });
  await other.query('COMMIT');
  await other.end();
  assert.equal(await storage.loadToken(key), null);
});

test('a transaction that takes too long writes nothing', async (t) => {
  const { inside: pool } = await opened(t, openPool);
  const late = new Database(pool, 0);
  await assert.rejects(late.change('CREATE TABLE undone (id int)'), { message: 'the transaction took too long' });
  assert.equal(await exists(late, 'undone'), false);
});

test('a connection is not used again while PostgreSQL works on a statement', { timeout: 60_000 }, async (t) => {
  const limits = { max: 1, query_timeout: 1_000 };
  const { inside: pool, address } = await opened(t, (connectionString) => openPool(connectionString, limits));
  const sent = [];
  pool.on('connect', (client) => {
    const { query } = client;
    client.query = (...asked) => {
      sent.push(asked[0]);
      return query.apply(client, asked);
    };
  });
  const database = new Database(pool);
  const lock = 'SELECT pg_advisory_xact_lock(1)';
  const other = await locked(address, lock);
  const waiting = database.transaction((transaction) => transaction.all(lock));
  await assert.rejects(waiting, { message: 'Query read timeout' });
  assert.deepEqual(sent, ['BEGIN', lock]);
  assert.equal(pool.totalCount, 0);
  await other.end();
  assert.equal(await exists(database, 'nothing'), false);
});

test('a server in a network must prove its name over TLS', () => {
  for (const address of [
    'postgres://app@localhost/shops',
    'postgres://app@127.0.0.1:5432/shops?sslmode=disable',
    'postgres://app@[::1]/shops',
    'postgres://app@%2Frun%2Fpostgresql/shops',
    'postgres://app@db.example/shops?sslmode=verify-full',
    'postgres://app@db.example/shops?sslmode=disable&sslmode=verify-full',
  ]) {
    checkAddress(address);
  }
  for (const address of [
    'postgres://app:CANARY@db.example/shops',
    'postgres://app:CANARY@127.0.0.1.example/shops',
    'postgres://app:CANARY@10.0.0.1/shops?sslmode=disable',
    'postgres://app:CANARY@db.example/shops?sslmode=no-verify',
    'postgres://app:CANARY@db.example/shops?sslmode=verify-full&sslmode=no-verify',
    'postgres://app:CANARY@db.example/shops#?sslmode=verify-full',
    'postgres://app:CANARY@localhost/shops?host=db.example',
  ]) {
    const message = 'the database is not on this machine: append sslmode=verify-full';
    assert.throws(() => checkAddress(address), { message }, address);
  }
});
