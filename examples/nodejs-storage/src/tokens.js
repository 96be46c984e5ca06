// The part that keeps token records.

import { bytes, bytesIf, connectionOf, holdKey, number, text } from './database.js';

const AGE = 'extract(epoch FROM clock_timestamp() - written_at) * 1000 AS age_ms';
const KEY = 'tenant = $1 AND customer = $2 AND account = $3';

export const tokens = (database) => ({
  async belongsTo({ environment }) {
    const first = `INSERT INTO environment (name)
      SELECT CASE WHEN EXISTS (SELECT 1 FROM tokens) THEN 'tiktok-shop' ELSE $1 END
      ON CONFLICT DO NOTHING`;
    await database.change(first, [environment]);
    const [{ name }] = await database.all('SELECT name FROM environment');
    return name === environment;
  },

  async accounts({ tenant, customer }) {
    const listed = 'SELECT account FROM tokens WHERE tenant = $1 AND customer = $2 ORDER BY account';
    return (await database.all(listed, [bytes(tenant), bytes(customer)])).map(({ account }) => text(account));
  },

  async loadToken({ tenant, customer, account }) {
    const loaded = `SELECT revision, sealed_key, sealed, ${AGE} FROM tokens WHERE ${KEY}`;
    const [stored] = await database.all(loaded, [tenant, customer, account].map(bytes));
    if (!stored) return null;
    const value = { key: text(stored.sealed_key), bytes: stored.sealed };
    return { revision: text(stored.revision), value, ageMs: number(stored.age_ms) };
  },

  swapToken({ tenant, customer, account, expected, next }) {
    const key = [tenant, customer, account].map(bytes);
    const values = next && [bytes(next.revision), bytes(next.value.key), next.value.bytes, next.refreshDueAt];
    const write = (transaction) => {
      if (!next)
        return transaction.change(`DELETE FROM tokens WHERE ${KEY} AND revision = $4`, [...key, bytesIf(expected)]);
      if (expected === null) {
        const inserted =
          'INSERT INTO tokens VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp()) ON CONFLICT DO NOTHING';
        return transaction.change(inserted, [...key, ...values]);
      }
      const updated = `UPDATE tokens SET revision = $4, sealed_key = $5, sealed = $6, refresh_due_at = $7,
        written_at = clock_timestamp() WHERE ${KEY} AND revision = $8`;
      return transaction.change(updated, [...key, ...values, bytes(expected)]);
    };
    const done = async (transaction) => next && holdKey(transaction, tenant, next.value.key);
    const load = () => this.loadToken({ tenant, customer, account });
    return database.swap({ expected, next, write, load, done });
  },

  async due({ now, after, limit }) {
    const behind = after ? [after.at, ...[after.tenant, after.customer, after.account].map(bytes)] : [];
    const listed = `SELECT refresh_due_at AS at, tenant, customer, account FROM tokens WHERE refresh_due_at <= $1
      ${after ? 'AND (refresh_due_at, tenant, customer, account) > ($3, $4, $5, $6)' : ''}
      ORDER BY refresh_due_at, tenant, customer, account LIMIT $2`;
    const due = await database.all(listed, [now, limit, ...behind]);
    return due.map((one) => ({ at: Number(one.at), tenant: text(one.tenant), ...connectionOf(one) }));
  },
});
