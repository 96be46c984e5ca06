// The part that keeps data keys, lists what is sealed with them, and deletes tenants.

import { bytes, connectionOf, holdKey, text } from './database.js';

/** The records that are sealed, with the order of their purposes. */
const SEALED = `(
  SELECT 0 AS purpose, tenant, customer, account, revision, sealed_key, sealed FROM tokens
  UNION ALL SELECT 1, tenant, customer, account, revision, sealed_key, sealed FROM rows WHERE sealed_key IS NOT NULL
) AS records`;
const PURPOSES = ['token', 'ciphers'];
/** The tables, apart from connections and keys, that `deleteTenant` empties. */
const OTHERS = ['events', 'once', 'states', 'installs', 'webhooks'];

function dataKey({ id, host_key: hostKey, wrapped }) {
  return { id: text(id), wrapped: wrapped === null ? null : { hostKey, bytes: wrapped } };
}

export const keys = (database) => ({
  async tenantKeys({ tenant }) {
    return (await database.all('SELECT * FROM keys WHERE tenant = $1 ORDER BY number', [bytes(tenant)])).map(dataKey);
  },

  addKey({ tenant, newest, key }) {
    return database.transaction(async (transaction) => {
      // Writers of one tenant wait for each other.
      await transaction.all('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [bytes(tenant).toString('hex')]);
      const found = await transaction.all('SELECT id FROM keys WHERE tenant = $1 ORDER BY number', [bytes(tenant)]);
      const listed = found.map(({ id }) => text(id));
      if ((listed.at(-1) ?? null) !== newest || listed.includes(key.id)) return false;
      const inserted = 'INSERT INTO keys (tenant, id, host_key, wrapped) VALUES ($1, $2, $3, $4)';
      await transaction.change(inserted, [bytes(tenant), bytes(key.id), key.wrapped?.hostKey, key.wrapped?.bytes]);
      return true;
    });
  },

  async rewrapKey({ tenant, key, next }) {
    if (!key.wrapped) return false;
    const updated = `UPDATE keys SET host_key = $5, wrapped = $6
      WHERE tenant = $1 AND id = $2 AND host_key = $3 AND wrapped = $4`;
    const values = [bytes(tenant), bytes(key.id), key.wrapped.hostKey, key.wrapped.bytes, next?.hostKey, next?.bytes];
    return (await database.change(updated, values)) > 0;
  },

  removeKey({ tenant, key }) {
    return database.transaction(async (transaction) => {
      const values = [bytes(tenant), bytes(key)];
      // After this lock, no other transaction seals a record with the key.
      await transaction.all('SELECT 1 FROM keys WHERE tenant = $1 AND id = $2 FOR UPDATE', values);
      const used = `SELECT 1 FROM ${SEALED} WHERE tenant = $1 AND sealed_key = $2 LIMIT 1`;
      if ((await transaction.all(used, values)).length > 0) return false;
      return (await transaction.change('DELETE FROM keys WHERE tenant = $1 AND id = $2', values)) > 0;
    });
  },

  async keyUses({ after, limit }) {
    const behind = after ? [bytes(after.tenant), bytes(after.key)] : [];
    const listed = `SELECT keys.*, (SELECT count(*) FROM ${SEALED} WHERE records.tenant = keys.tenant
        AND records.sealed_key = keys.id) AS records
      FROM keys ${after ? 'WHERE (tenant, id) > ($2, $3)' : ''}
      ORDER BY tenant, id LIMIT $1`;
    const uses = await database.all(listed, [limit, ...behind]);
    return uses.map((use) => ({ tenant: text(use.tenant), key: dataKey(use), records: Number(use.records) }));
  },

  async sealedUnder({ tenant, key, after, limit }) {
    const behind = after ? [PURPOSES.indexOf(after.purpose), bytes(after.customer), bytes(after.account)] : [];
    const listed = `SELECT * FROM ${SEALED} WHERE tenant = $1 AND sealed_key = $2
      ${after ? 'AND (purpose, customer, account) > ($4, $5, $6)' : ''} ORDER BY purpose, customer, account LIMIT $3`;
    const records = await database.all(listed, [bytes(tenant), bytes(key), limit, ...behind]);
    return records.map((record) => {
      const sealed = { key: text(record.sealed_key), bytes: record.sealed };
      return { ...connectionOf(record), purpose: PURPOSES[record.purpose], revision: text(record.revision), sealed };
    });
  },

  reseal({ tenant, customer, account, purpose, revision, sealed, next }) {
    const table = purpose === 'token' ? 'tokens' : 'rows';
    const updated = `UPDATE ${table} SET sealed_key = $7, sealed = $8
      WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $4 AND sealed_key = $5 AND sealed = $6`;
    const key = [tenant, customer, account, revision, sealed.key].map(bytes);
    const values = [...key, sealed.bytes, bytes(next.key), next.bytes];
    return database.transaction(async (transaction) => {
      const changed = await transaction.change(updated, values);
      await holdKey(transaction, tenant, next.key);
      return changed > 0;
    });
  },

  deleteTenant({ tenant, limit }) {
    return database.transaction(async (transaction) => {
      const values = [bytes(tenant), limit];
      const listed = `SELECT customer, account FROM tokens WHERE tenant = $1
        UNION SELECT customer, account FROM rows WHERE tenant = $1 ORDER BY customer, account LIMIT $2`;
      const connections = await transaction.all(listed, values);
      for (const { customer, account } of connections) {
        for (const table of ['tokens', 'rows']) {
          const one = `DELETE FROM ${table} WHERE tenant = $1 AND customer = $2 AND account = $3`;
          await transaction.change(one, [bytes(tenant), customer, account]);
        }
      }
      let others = 0;
      let isComplete = connections.length < limit;
      for (const table of OTHERS) {
        const some = `DELETE FROM ${table} WHERE ctid IN (SELECT ctid FROM ${table} WHERE tenant = $1 LIMIT $2)`;
        const count = await transaction.change(some, values);
        others += count;
        isComplete &&= count < limit;
      }
      return { connections: connections.length, others, isComplete };
    });
  },
});
