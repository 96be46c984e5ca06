// A storage in JavaScript: it keeps everything in the memory of this process. The five parts of a storage are in one
// class. `docs/storage.md` says what each function promises.

import { KeyGone, StorageRefused } from 'tiktok-shop-connector';

const HOUR_MS = 3_600_000;
const STATE_MS = HOUR_MS;
const INSTALL_MS = HOUR_MS / 2;
const WEBHOOK_MS = 72 * HOUR_MS;

/** Compares two texts by the bytes of their UTF-8. */
const byBytes = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));

/** Compares two lists of texts and numbers, item by item. */
function inOrder(ones, others) {
  for (const [at, one] of ones.entries()) {
    const order = typeof one === 'number' ? one - others[at] : byBytes(one, others[at]);
    if (order !== 0) return order;
  }
  return 0;
}

const name = (...parts) => JSON.stringify(parts);
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const pick = ({ customer, account }) => ({ customer, account });

/** Returns the items behind `after`, in the order of their keys, and at most `limit`. */
function page(items, keyOf, after, limit) {
  const sorted = [...items].sort((one, other) => inOrder(keyOf(one), keyOf(other)));
  return sorted.filter((item) => after === null || inOrder(keyOf(item), keyOf(after)) > 0).slice(0, limit);
}

class Tenant {
  tokens = new Map();
  rows = new Map();
  events = [];
  lastPosition = 0;
  once = new Map();
  states = new Map();
  installs = new Map();
  webhooks = new Map();
  keys = [];

  append(event) {
    this.lastPosition += 1;
    this.events.push({ position: this.lastPosition, event });
  }

  checkKey(sealed) {
    if (!sealed) return;
    const key = this.keys.find(({ id }) => id === sealed.key);
    if (!key?.wrapped) throw new KeyGone('the tenant no longer has this key');
  }

  sealed() {
    const record = (purpose, stored, sealed) => ({ ...pick(stored), purpose, revision: stored.revision, sealed });
    const tokens = [...this.tokens.values()].map((token) => record('token', token, token.value));
    const rows = [...this.rows.values()].filter((row) => row.sealed).map((row) => record('ciphers', row, row.sealed));
    return [...tokens, ...rows];
  }
}

/** Deletes the entries of a map that are older than this. */
function deleteOld(map, now, maxAge) {
  for (const [key, { at }] of map) if (now - at > maxAge) map.delete(key);
}

export class MemoryStorage {
  #tenants = new Map();
  #environment = null;
  #now;

  /** `now` returns the time of the storage in milliseconds. */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  #tenant(tenant) {
    if (!this.#tenants.has(tenant)) this.#tenants.set(tenant, new Tenant());
    return this.#tenants.get(tenant);
  }

  #all(read) {
    return [...this.#tenants].flatMap(([tenant, kept]) => read(kept).map((item) => ({ ...item, tenant })));
  }

  // Token records.

  belongsTo({ environment }) {
    const hasTokens = [...this.#tenants.values()].some(({ tokens }) => tokens.size > 0);
    this.#environment ??= hasTokens ? 'tiktok-shop' : environment;
    return this.#environment === environment;
  }

  accounts({ tenant, customer }) {
    const tokens = [...this.#tenant(tenant).tokens.values()];
    return tokens
      .filter((token) => token.customer === customer)
      .map(({ account }) => account)
      .sort(byBytes);
  }

  #tokenEntry(token) {
    return token ? { revision: token.revision, value: token.value, ageMs: this.#now() - token.at } : null;
  }

  loadToken({ tenant, customer, account }) {
    return this.#tokenEntry(this.#tenant(tenant).tokens.get(name(customer, account)));
  }

  swapToken({ tenant, customer, account, expected, next }) {
    const kept = this.#tenant(tenant);
    const key = name(customer, account);
    const stored = kept.tokens.get(key);
    if ((stored?.revision ?? null) !== expected) return { outcome: 'stale', stored: this.#tokenEntry(stored) };
    kept.checkKey(next?.value);
    if (next) kept.tokens.set(key, { ...next, customer, account, at: this.#now() });
    else kept.tokens.delete(key);
    return { outcome: 'done' };
  }

  due({ now, after, limit }) {
    const all = this.#all(({ tokens }) => [...tokens.values()].map((one) => ({ ...pick(one), at: one.refreshDueAt })));
    const due = all.filter(({ at }) => at !== null && at <= now);
    return page(due, ({ at, tenant, customer, account }) => [at, tenant, customer, account], after, limit);
  }

  // Rows and events.

  listRows({ tenant, customer }) {
    const rows = [...this.#tenant(tenant).rows.values()].filter((row) => row.customer === customer);
    return page(rows, ({ account }) => [account], null, Infinity);
  }

  loadRow({ tenant, customer, account }) {
    return this.#tenant(tenant).rows.get(name(customer, account)) ?? null;
  }

  swapRow({ tenant, customer, account, expected, next, events }) {
    const kept = this.#tenant(tenant);
    const key = name(customer, account);
    const stored = kept.rows.get(key);
    if ((stored?.revision ?? null) !== expected) return { outcome: 'stale', stored: stored ?? null };
    kept.checkKey(next?.sealed);
    if (next) kept.rows.set(key, { ...next, customer, account });
    else kept.rows.delete(key);
    for (const event of events) kept.append(event);
    return { outcome: 'done' };
  }

  owners({ tenant, shop }) {
    const rows = [...this.#tenant(tenant).rows.values()].filter(({ index }) => index.shops.includes(shop));
    return page(rows.map(pick), ({ customer, account }) => [customer, account], null, Infinity);
  }

  tenantRows({ tenant, filter, after, limit }) {
    const { rows, tokens } = this.#tenant(tenant);
    const matches = ({ customer, account, index }) =>
      (filter.status === null || index.status === filter.status) &&
      (filter.shop === null || index.shops.includes(filter.shop)) &&
      (filter.account === null || account === filter.account) &&
      (filter.sellerName === null || index.sellerName === filter.sellerName) &&
      tokens.has(name(customer, account));
    const wanted = [...rows.values()].filter(matches);
    return page(wanted, ({ customer, account }) => [customer, account], after, limit);
  }

  endings({ by, after, limit }) {
    const ending = (row) => ({ ...pick(row), at: row.index.endsAt, grant: row.index.grant });
    const works = ({ index }) => index.status !== 'reauthorization-required' && index.endsAt !== null;
    const all = this.#all(({ rows }) => [...rows.values()].filter(works).map(ending));
    const wanted = all.filter(({ at }) => at <= by);
    return page(wanted, ({ at, tenant, customer, account }) => [at, tenant, customer, account], after, limit);
  }

  events({ tenant, after, limit }) {
    const { events } = this.#tenant(tenant);
    return events.filter(({ position }) => after === null || position > after).slice(0, limit);
  }

  knowsOnce({ tenant, customer, account, once }) {
    return this.#tenant(tenant).once.has(name(customer, account, once));
  }

  appendOnce({ tenant, customer, account, once, event, grant }) {
    const kept = this.#tenant(tenant);
    const index = kept.rows.get(name(customer, account))?.index;
    const works = index?.grant === grant && index?.status !== 'reauthorization-required';
    if (grant !== null && !works) return false;
    const key = name(customer, account, once);
    if (kept.once.has(key)) return false;
    kept.once.set(key, true);
    kept.append(event);
    return true;
  }

  // Consents and installs.

  #deleteOldConsents(kept) {
    deleteOld(kept.states, this.#now(), STATE_MS);
    deleteOld(kept.installs, this.#now(), INSTALL_MS);
  }

  putState({ tenant, state, consent }) {
    const kept = this.#tenant(tenant);
    this.#deleteOldConsents(kept);
    if (kept.states.has(state)) throw new StorageRefused('this state is already stored');
    kept.states.set(state, { consent, used: false, at: this.#now() });
  }

  loadState({ tenant, state }) {
    const stored = this.#tenant(tenant).states.get(state);
    return stored ? { consent: stored.consent, used: stored.used, ageMs: this.#now() - stored.at } : null;
  }

  useState({ tenant, state }) {
    const stored = this.#tenant(tenant).states.get(state);
    if (!stored || stored.used) return false;
    stored.used = true;
    return true;
  }

  releaseState({ tenant, state }) {
    const stored = this.#tenant(tenant).states.get(state);
    if (stored) stored.used = false;
  }

  putInstall({ tenant, install, browser, sealed }) {
    const kept = this.#tenant(tenant);
    this.#deleteOldConsents(kept);
    if (kept.installs.has(install)) throw new StorageRefused('this install is already stored');
    kept.installs.set(install, { browser, sealed, at: this.#now() });
  }

  loadInstall({ tenant, install }) {
    const stored = this.#tenant(tenant).installs.get(install);
    return stored ? { browser: stored.browser, sealed: stored.sealed, ageMs: this.#now() - stored.at } : null;
  }

  closeInstall({ tenant, install }) {
    const stored = this.#tenant(tenant).installs.get(install);
    if (stored) stored.sealed = null;
  }

  deleteInstall({ tenant, install }) {
    this.#tenant(tenant).installs.delete(install);
  }

  deleteExpired() {
    for (const kept of this.#tenants.values()) this.#deleteOldConsents(kept);
  }

  // Webhooks.

  knowsWebhook({ tenant, webhook }) {
    return this.#tenant(tenant).webhooks.has(webhook);
  }

  rememberWebhook({ tenant, webhook }) {
    const { webhooks } = this.#tenant(tenant);
    deleteOld(webhooks, this.#now(), WEBHOOK_MS);
    if (!webhooks.has(webhook)) webhooks.set(webhook, { at: this.#now() });
  }

  // Keys.

  tenantKeys({ tenant }) {
    return this.#tenant(tenant).keys;
  }

  addKey({ tenant, newest, key }) {
    const { keys } = this.#tenant(tenant);
    if ((keys.at(-1)?.id ?? null) !== newest || keys.some(({ id }) => id === key.id)) return false;
    keys.push(key);
    return true;
  }

  rewrapKey({ tenant, key, next }) {
    const { keys } = this.#tenant(tenant);
    const at = keys.findIndex((known) => known.wrapped && isSame(known, key));
    if (at >= 0) keys[at] = { id: key.id, wrapped: next };
    return at >= 0;
  }

  removeKey({ tenant, key }) {
    const kept = this.#tenant(tenant);
    if (kept.sealed().some(({ sealed }) => sealed.key === key)) return false;
    const at = kept.keys.findIndex(({ id }) => id === key);
    if (at >= 0) kept.keys.splice(at, 1);
    return at >= 0;
  }

  keyUses({ after, limit }) {
    const uses = this.#all((kept) => {
      const sealed = kept.sealed();
      return kept.keys.map((key) => ({ key, records: sealed.filter((one) => one.sealed.key === key.id).length }));
    });
    const behind = after && { tenant: after.tenant, key: { id: after.key } };
    return page(uses, ({ tenant, key }) => [tenant, key.id], behind, limit);
  }

  sealedUnder({ tenant, key, after, limit }) {
    const records = this.#tenant(tenant)
      .sealed()
      .filter(({ sealed }) => sealed.key === key);
    const order = { token: 0, ciphers: 1 };
    return page(records, ({ purpose, customer, account }) => [order[purpose], customer, account], after, limit);
  }

  reseal({ tenant, customer, account, purpose, revision, sealed, next }) {
    const kept = this.#tenant(tenant);
    kept.checkKey(next);
    const member = purpose === 'token' ? 'value' : 'sealed';
    const map = purpose === 'token' ? kept.tokens : kept.rows;
    const stored = map.get(name(customer, account));
    if (stored?.revision !== revision || !isSame(stored[member], sealed)) return false;
    map.set(name(customer, account), { ...stored, [member]: next });
    return true;
  }

  deleteTenant({ tenant, limit }) {
    const kept = this.#tenant(tenant);
    const connections = [...new Set([...kept.tokens.keys(), ...kept.rows.keys()])];
    for (const key of connections.slice(0, limit)) {
      kept.tokens.delete(key);
      kept.rows.delete(key);
    }
    let others = kept.events.splice(0, limit).length;
    const maps = [kept.once, kept.states, kept.installs, kept.webhooks];
    for (const map of maps) {
      for (const key of [...map.keys()].slice(0, limit)) others += Number(map.delete(key));
    }
    const isEmpty = kept.events.length === 0 && maps.every((map) => map.size === 0);
    const isComplete = connections.length <= limit && isEmpty;
    return { connections: Math.min(connections.length, limit), others, isComplete };
  }
}
