// A complete storage in PostgreSQL, with the driver `pg`. `Host.open({ storage, … })` takes it.

import pg from 'pg';
import { checkAddress } from './address.js';
import { connections } from './connections.js';
import { consents } from './consents.js';
import { Database } from './database.js';
import { keys } from './keys.js';
import { SCHEMA } from './schema.js';
import { tokens } from './tokens.js';

/**
 * The time limits in milliseconds. Without them, a statement could still be carried out long after its caller has
 * stopped waiting.
 */
const LIMITS = {
  // The wait for a connection of the pool, or for a new one.
  connectionTimeoutMillis: 5_000,
  // The time that PostgreSQL may work on a statement, also while the statement waits for a lock.
  statement_timeout: 8_000,
  // The wait for the answer. It ends only if the server does not answer at all.
  query_timeout: 9_000,
};

/** Opens the storage, and creates its tables if they are missing. The result has the function `end`. */
export async function openStorage(address) {
  checkAddress(address);
  const pool = new pg.Pool({ connectionString: address, max: 10, ...LIMITS });
  // A connection that breaks while nobody uses it is replaced.
  pool.on('error', () => {});
  await pool.query(SCHEMA);
  const database = new Database(pool);
  const parts = [tokens, connections, consents, keys].map((part) => part(database));
  return Object.assign({}, ...parts, { end: () => pool.end() });
}
