// The part that keeps rows and events.

import { append, bytes, bytesIf, connectionOf, holdKey, text } from './database.js';

const KEY = 'tenant = $1 AND customer = $2 AND account = $3';
const COLUMNS = 'revision, row, sealed_key, sealed';

function entry({ revision, row, sealed_key: key, sealed }) {
  return { revision: text(revision), row, sealed: key === null ? null : { key: text(key), bytes: sealed } };
}

export const connections = (database) => ({
  async listRows({ tenant, customer }) {
    const listed = `SELECT ${COLUMNS} FROM rows WHERE tenant = $1 AND customer = $2 ORDER BY account`;
    return (await database.all(listed, [bytes(tenant), bytes(customer)])).map(entry);
  },

  async loadRow({ tenant, customer, account }) {
    const loaded = `SELECT ${COLUMNS} FROM rows WHERE ${KEY}`;
    const [stored] = await database.all(loaded, [tenant, customer, account].map(bytes));
    return stored ? entry(stored) : null;
  },

  swapRow({ tenant, customer, account, expected, next, events }) {
    const key = [tenant, customer, account].map(bytes);
    const values = () => {
      const { revision, row, sealed, index } = next;
      const { status, endsAt, sellerName, shops, grant } = index;
      const head = [bytes(revision), bytesIf(sealed?.key), sealed?.bytes, row];
      return [...head, status, endsAt, bytes(sellerName), shops, bytes(grant)];
    };
    const write = async (transaction) => {
      if (!next && expected === null) {
        // Nothing is deleted, but the events are appended if there is no row.
        const [stored] = await transaction.all(`SELECT 1 FROM rows WHERE ${KEY} FOR UPDATE`, key);
        return stored ? 0 : 1;
      }
      if (!next)
        return transaction.change(`DELETE FROM rows WHERE ${KEY} AND revision = $4`, [...key, bytes(expected)]);
      if (expected === null) {
        const inserted =
          'INSERT INTO rows VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING';
        return transaction.change(inserted, [...key, ...values()]);
      }
      const updated = `UPDATE rows SET revision = $4, sealed_key = $5, sealed = $6, row = $7, status = $8, ends_at = $9,
        seller_name = $10, shops = $11, grant_name = $12 WHERE ${KEY} AND revision = $13`;
      return transaction.change(updated, [...key, ...values(), bytes(expected)]);
    };
    const done = async (transaction) => {
      if (next?.sealed) await holdKey(transaction, tenant, next.sealed.key);
      await append(transaction, tenant, events);
    };
    const load = () => this.loadRow({ tenant, customer, account });
    return database.swap({ expected, next, write, load, done });
  },

  async owners({ tenant, shop }) {
    const listed = `SELECT customer, account FROM rows WHERE tenant = $1 AND shops @> ARRAY[$2]
      ORDER BY customer, account`;
    return (await database.all(listed, [bytes(tenant), shop])).map(connectionOf);
  },

  async tenantRows({ tenant, filter, after, limit }) {
    const { status, shop, account, sellerName } = filter;
    const behind = after ? [bytes(after.customer), bytes(after.account)] : [];
    const listed = `SELECT ${COLUMNS} FROM rows WHERE tenant = $1
      AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR shops @> ARRAY[$4])
      AND ($5::bytea IS NULL OR account = $5) AND ($6::bytea IS NULL OR seller_name = $6)
      AND EXISTS (SELECT 1 FROM tokens WHERE (tokens.tenant, tokens.customer, tokens.account) =
        (rows.tenant, rows.customer, rows.account))
      ${after ? 'AND (customer, account) > ($7, $8)' : ''} ORDER BY customer, account LIMIT $2`;
    const values = [bytes(tenant), limit, status, shop, bytesIf(account), bytesIf(sellerName), ...behind];
    return (await database.all(listed, values)).map(entry);
  },

  async endings({ by, after, limit }) {
    const behind = after ? [after.at, ...[after.tenant, after.customer, after.account].map(bytes)] : [];
    const listed = `SELECT ends_at AS at, tenant, customer, account, grant_name FROM rows
      WHERE ends_at <= $1 AND status <> 'reauthorization-required'
      ${after ? 'AND (ends_at, tenant, customer, account) > ($3, $4, $5, $6)' : ''}
      ORDER BY ends_at, tenant, customer, account LIMIT $2`;
    const endings = await database.all(listed, [by, limit, ...behind]);
    return endings.map((one) => {
      return { at: Number(one.at), tenant: text(one.tenant), ...connectionOf(one), grant: text(one.grant_name) };
    });
  },

  async events({ tenant, after, limit }) {
    const listed = 'SELECT position, event FROM events WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3';
    const events = await database.all(listed, [bytes(tenant), after ?? 0, limit]);
    return events.map(({ position, event }) => ({ position: Number(position), event }));
  },

  async knowsOnce({ tenant, customer, account, once }) {
    const found = `SELECT 1 FROM once WHERE ${KEY} AND once = $4`;
    return (await database.all(found, [...[tenant, customer, account].map(bytes), once])).length > 0;
  },

  appendOnce({ tenant, customer, account, once, event, grant }) {
    // An id has one byte at least, so an empty one stands for an event of the whole tenant.
    const key = [tenant, customer ?? '', account ?? ''].map(bytes);
    return database.transaction(async (transaction) => {
      if (grant !== null) {
        // The lock lasts until the transaction ends, so the connection can't end before the event is stored.
        const works = `SELECT 1 FROM rows WHERE ${KEY} AND grant_name = $4
          AND status <> 'reauthorization-required' FOR SHARE`;
        if ((await transaction.all(works, [...key, bytes(grant)])).length === 0) return false;
      }
      const inserted = 'INSERT INTO once VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING';
      const isFirst = (await transaction.change(inserted, [...key, once])) > 0;
      if (isFirst) await append(transaction, tenant, [event]);
      return isFirst;
    });
  },
});
