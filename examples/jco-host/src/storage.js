// The component's storage in memory: the interface `storage` of `wit/storage.wit`. A production host encrypts `secrets`
// before it stores them. This example does not.

import { randomUUID } from 'node:crypto';

/** Returns an empty storage. `now` returns the time of its clock in milliseconds. */
export function createStorage(now) {
  const tables = { tokens: new Map(), rows: new Map() };

  function load(table, key) {
    const entry = tables[table].get(JSON.stringify(key));
    return { entry: entry && { ...entry, ageMs: BigInt(now() - entry.writtenAt) } };
  }

  /** Compare-and-swap: writes only if the stored revision is the expected one. */
  function swap(table, key, expected, next) {
    const { entry } = load(table, key);
    if (entry?.revision !== expected) return { outcome: { tag: 'stale', val: entry } };
    if (!next) {
      tables[table].delete(JSON.stringify(key));
      return { outcome: { tag: 'deleted' } };
    }
    const revision = randomUUID();
    tables[table].set(JSON.stringify(key), { ...next, key, revision, writtenAt: now() });
    return { outcome: { tag: 'stored', val: revision } };
  }

  /** Returns the keys of the entries for which `wanted` is true, by account in byte order. */
  function keys(table, wanted) {
    const found = [...tables[table].values()].filter(wanted).map(({ key }) => key);
    return found.sort((one, other) => Buffer.compare(Buffer.from(one.account), Buffer.from(other.account)));
  }

  const keysOf = (table, customer) => keys(table, ({ key }) => key.customer === customer);
  return {
    accounts: (customer) => keysOf('tokens', customer).map(({ account }) => account),
    list: (customer) => keysOf('rows', customer).map((key) => ({ account: key.account, ...load('rows', key) })),
    load,
    swap,
    owners: (shop) => keys('rows', ({ index }) => index.shops.some(({ id }) => id === shop)),
  };
}
