// The component's storage in memory: `token-storage` and `connection-storage` of `wit/storage.wit`. A production host
// encrypts `value` and `secrets` before it stores them. This example does not.

import { randomUUID } from 'node:crypto';

const MAX_AGE_MS = 0xffffffff;

/** Stored values of one kind, by connection. Every write gets a revision of its own. */
class Register {
  #stored = new Map();

  load({ customer, account }) {
    return this.#stored.get(JSON.stringify([customer, account]));
  }

  /** Compare-and-swap: writes only if the stored revision is the expected one. */
  swap({ customer, account }, expected, next) {
    const stored = this.load({ customer, account });
    if (stored?.revision !== expected) return { outcome: { tag: 'stale', val: stored } };
    if (!next) this.#stored.delete(JSON.stringify([customer, account]));
    if (!next) return { outcome: { tag: 'deleted' } };
    const revision = randomUUID();
    this.#stored.set(JSON.stringify([customer, account]), { ...next, customer, account, revision });
    return { outcome: { tag: 'stored', val: revision } };
  }

  /** Returns all values for which `wanted` is true, by account in byte order. */
  filter(wanted) {
    const bytes = ({ account }) => Buffer.from(account);
    return [...this.#stored.values()].filter(wanted).sort((one, other) => Buffer.compare(bytes(one), bytes(other)));
  }
}

export class Storage {
  /** A test sets this to false, as if the key service did not answer. */
  secretsReadable = true;
  #tokens = new Register();
  #rows = new Register();

  /** `now` returns the time of the storage in milliseconds. */
  constructor(now) {
    const aged = (entry) => entry && { ...entry, ageMs: Math.min(Math.max(now() - entry.writtenAt, 0), MAX_AGE_MS) };
    const staleOr = ({ outcome }, change) => ({ outcome: { ...outcome, ...change(outcome) } });
    const readable = (entry) => entry && (this.secretsReadable ? entry : { ...entry, secrets: new Uint8Array() });

    this.tokenStorage = {
      accounts: (customer) => this.#tokens.filter((token) => token.customer === customer).map(({ account }) => account),
      load: (key) => ({ entry: aged(this.#tokens.load(key)) }),
      swap: (key, expected, next) => {
        const swapped = this.#tokens.swap(key, expected, next && { ...next, writtenAt: now() });
        return staleOr(swapped, ({ tag, val }) => (tag === 'stale' ? { val: aged(val) } : {}));
      },
    };
    this.connectionStorage = {
      list: (customer) =>
        this.#rows
          .filter((row) => row.customer === customer)
          .map((row) => ({ account: row.account, entry: readable(row) })),
      load: (key) => ({ entry: readable(this.#rows.load(key)) }),
      swap: (key, expected, next) => this.#rows.swap(key, expected, next),
      owners: (shop) => this.#rows.filter((row) => row.index.shops.some(({ id }) => id === shop)),
    };
  }
}
