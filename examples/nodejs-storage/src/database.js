// What all parts of the storage share: queries, transactions, and the change of a record with compare-and-swap.

import pg from 'pg';
import { KeyGone } from 'tiktok-shop-connector';

/**
 * The time in which a function of the storage must commit its transaction, in milliseconds. A host waits 10 s for a
 * function. If a transaction were committed later, a value could appear that the host has given up.
 */
const LIMIT_MS = 9_000;

export const bytes = (text) => Buffer.from(text, 'utf8');
export const text = (bytes) => bytes.toString('utf8');
/** The bytes of a text that may be missing. */
export const bytesIf = (text) => (text === null || text === undefined ? null : bytes(text));
export const number = (value) => (value === null ? null : Number(value));

/** The names of a connection in an answer. */
export const connectionOf = ({ customer, account }) => ({ customer: text(customer), account: text(account) });

export class Database {
  #pool;
  #limitMs;

  constructor(pool, limitMs = LIMIT_MS) {
    this.#pool = pool;
    this.#limitMs = limitMs;
  }

  /** Returns the rows of a statement. */
  async all(statement, values) {
    return (await this.#pool.query(statement, values)).rows;
  }

  /** Returns how many rows a statement has changed. */
  change(statement, values) {
    return this.transaction((transaction) => transaction.change(statement, values));
  }

  /** Runs statements in one transaction. If `work` throws, or is not done before `end`, nothing is written. */
  async transaction(work, end = this.#end()) {
    const client = await this.#pool.connect();
    let broken;
    // Without a listener, Node.js would end the process if the connection breaks between two statements.
    const onError = (error) => (broken ??= error);
    client.on('error', onError);
    const run = async (statement, values) => {
      try {
        return await client.query(statement, values);
      } catch (error) {
        // The error is not an answer of PostgreSQL, so PostgreSQL may still work on the statement.
        if (!(error instanceof pg.DatabaseError)) onError(error);
        throw error;
      }
    };
    try {
      await run('BEGIN');
      const result = await work({
        all: async (statement, values) => (await run(statement, values)).rows,
        change: async (statement, values) => (await run(statement, values)).rowCount,
      });
      if (performance.now() >= end) throw new Error('the transaction took too long');
      await run('COMMIT');
      return result;
    } catch (error) {
      // The transaction of a broken connection ends with the connection, and a statement would wait on it in vain.
      if (!broken) await run('ROLLBACK').catch(onError);
      throw error;
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }

  /** Returns when a transaction that begins now must be committed. */
  #end() {
    return performance.now() + this.#limitMs;
  }

  /**
   * Writes a record with `write`, which returns the number of rows that it has changed. If it has changed none, the
   * stored record is another one than the caller expects. `done` runs in the same transaction after a write.
   */
  async swap({ expected, next, write, load, done = async () => {} }) {
    const end = this.#end();
    for (;;) {
      const changed = await this.transaction(async (transaction) => {
        const count = await write(transaction);
        if (count > 0) await done(transaction);
        return count;
      });
      if (changed > 0) return { outcome: 'done' };
      const stored = await load();
      if (stored !== null && stored.revision !== expected) return { outcome: 'stale', stored };
      if (stored === null && expected !== null) return { outcome: 'stale', stored };
      // Nothing is stored, and nothing was expected.
      if (stored === null && next === null) return { outcome: 'done' };
      // Another write was undone or deleted between the two statements, so try again.
    }
  }
}

/** Keeps the key of a sealed value until the transaction ends. */
export async function holdKey(transaction, tenant, key) {
  const held = 'SELECT 1 FROM keys WHERE tenant = $1 AND id = $2 AND wrapped IS NOT NULL FOR SHARE';
  const found = await transaction.all(held, [bytes(tenant), bytes(key)]);
  if (found.length === 0) throw new KeyGone('the tenant no longer has this key');
}

/** Appends events. Writers of one tenant wait for each other, so that no event appears before one that was read. */
export async function append(transaction, tenant, events) {
  if (events.length === 0) return;
  const counted = `INSERT INTO positions (tenant, last) VALUES ($1, $2)
    ON CONFLICT (tenant) DO UPDATE SET last = positions.last + $2 RETURNING last`;
  const [{ last }] = await transaction.all(counted, [bytes(tenant), events.length]);
  const first = Number(last) - events.length + 1;
  for (const [at, event] of events.entries()) {
    await transaction.change('INSERT INTO events VALUES ($1, $2, $3)', [bytes(tenant), first + at, event]);
  }
}
