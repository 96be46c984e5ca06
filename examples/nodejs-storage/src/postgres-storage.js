// A complete storage in PostgreSQL, with the driver `pg`. `Host.open({ storage, … })` takes it.

import pg from 'pg';
import { connections } from './connections.js';
import { consents } from './consents.js';
import { Database } from './database.js';
import { keys } from './keys.js';
import { SCHEMA } from './schema.js';
import { tokens } from './tokens.js';

/** Opens the storage, and creates its tables if they are missing. The result has the function `end`. */
export async function openStorage(address) {
  const pool = new pg.Pool({ connectionString: address, max: 10 });
  // A connection that breaks while nobody uses it is replaced.
  pool.on('error', () => {});
  await pool.query(SCHEMA);
  const database = new Database(pool);
  const parts = [tokens, connections, consents, keys].map((part) => part(database));
  return Object.assign({}, ...parts, { end: () => pool.end() });
}
