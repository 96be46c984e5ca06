// The types of a storage of your own. Every function may be asynchronous. docs/nodejs.md says what a storage promises.

export type Awaitable<T> = T | Promise<T>;

/** Throw it if nothing was written, for example because of a limit. Its text is shown: no stored value may be in it. */
export class StorageRefused extends Error {
  readonly code: 'refused';
}

/** Throw it if the tenant no longer has the key with which a value is sealed. Nothing was written. */
export class KeyGone extends Error {
  readonly code: 'key-gone';
}

/** A sealed value: the id of the data key, and the bytes as hexadecimal digits. */
export interface Sealed {
  key: string;
  bytes: string;
}

export interface StoredToken {
  revision: string;
  value: Sealed;
  /** The time since the write of this revision, by the clock of the storage. `null` if it is not known. */
  ageMs: number | null;
}

export interface StoredRow {
  revision: string;
  row: string;
  sealed: Sealed | null;
}

/** A row that is written. The storage keeps the text `row`. `index` has values from it, for lists and searches. */
export interface NewRow extends StoredRow {
  index: {
    status: 'active' | 'authorization-ending' | 'reauthorization-required';
    endsAt: number | null;
    app: string | null;
    sellerName: string;
    shops: string[];
    grant: string;
  };
}

export type Swapped<T> = { outcome: 'done' } | { outcome: 'stale'; stored: T | null };

export interface OfTenant {
  tenant: string;
}

export interface OfConnection extends OfTenant {
  customer: string;
  account: string;
}

export interface Due extends OfConnection {
  at: number;
}

export interface DataKey {
  id: string;
  /** The wrapped key. `null` if it was erased. */
  wrapped: { hostKey: string; bytes: string } | null;
}

export interface SealedRecord {
  customer: string;
  account: string;
  purpose: 'token' | 'ciphers';
  revision: string;
  sealed: Sealed;
}

export interface TokenStorage {
  belongsTo(named: { environment: 'tiktok-shop' | 'fake' }): Awaitable<boolean>;
  accounts(named: OfTenant & { customer: string }): Awaitable<string[]>;
  loadToken(named: OfConnection): Awaitable<StoredToken | null>;
  swapToken(
    named: OfConnection & {
      expected: string | null;
      next: { revision: string; value: Sealed; refreshDueAt: number | null } | null;
    },
  ): Awaitable<Swapped<StoredToken>>;
  due(named: { now: number; after: Due | null; limit: number }): Awaitable<Due[]>;
}

export interface ConnectionStorage {
  listRows(named: OfTenant & { customer: string }): Awaitable<StoredRow[]>;
  loadRow(named: OfConnection): Awaitable<StoredRow | null>;
  swapRow(
    named: OfConnection & { expected: string | null; next: NewRow | null; events: string[] },
  ): Awaitable<Swapped<StoredRow>>;
  owners(named: OfTenant & { shop: string }): Awaitable<{ customer: string; account: string }[]>;
  tenantRows(
    named: OfTenant & {
      filter: { status: string | null; shop: string | null; account: string | null; sellerName: string | null };
      after: { customer: string; account: string } | null;
      limit: number;
    },
  ): Awaitable<StoredRow[]>;
  endings(named: { by: number; after: Due | null; limit: number }): Awaitable<(Due & { grant: string })[]>;
  events(named: OfTenant & { after: number | null; limit: number }): Awaitable<{ position: number; event: string }[]>;
  knowsOnce(named: OfConnection & { once: string }): Awaitable<boolean>;
  appendOnce(
    named: OfTenant & {
      customer: string | null;
      account: string | null;
      once: string;
      event: string;
      /** If it is not null, the event is appended only while the row has this grant and needs no new consent. */
      grant: string | null;
    },
  ): Awaitable<boolean>;
}

export interface ConsentStorage {
  putState(named: OfTenant & { state: string; consent: string }): Awaitable<void>;
  loadState(
    named: OfTenant & { state: string },
  ): Awaitable<{ consent: string; ageMs: number | null; used: boolean } | null>;
  useState(named: OfTenant & { state: string }): Awaitable<boolean>;
  releaseState(named: OfTenant & { state: string }): Awaitable<void>;
  putInstall(named: OfTenant & { install: string; browser: string; sealed: string }): Awaitable<void>;
  loadInstall(
    named: OfTenant & { install: string },
  ): Awaitable<{ browser: string; sealed: string | null; ageMs: number | null } | null>;
  closeInstall(named: OfTenant & { install: string }): Awaitable<void>;
  deleteInstall(named: OfTenant & { install: string }): Awaitable<void>;
  deleteExpired(): Awaitable<void>;
}

export interface WebhookStorage {
  knowsWebhook(named: OfTenant & { webhook: string }): Awaitable<boolean>;
  rememberWebhook(named: OfTenant & { webhook: string }): Awaitable<void>;
}

export interface KeyStorage {
  tenantKeys(named: OfTenant): Awaitable<DataKey[]>;
  addKey(named: OfTenant & { newest: string | null; key: DataKey }): Awaitable<boolean>;
  rewrapKey(named: OfTenant & { key: DataKey; next: DataKey['wrapped'] }): Awaitable<boolean>;
  removeKey(named: OfTenant & { key: string }): Awaitable<boolean>;
  keyUses(named: {
    after: { tenant: string; key: string } | null;
    limit: number;
  }): Awaitable<{ tenant: string; key: DataKey; records: number }[]>;
  sealedUnder(
    named: OfTenant & {
      key: string;
      after: { purpose: 'token' | 'ciphers'; customer: string; account: string } | null;
      limit: number;
    },
  ): Awaitable<SealedRecord[]>;
  reseal(named: OfTenant & SealedRecord & { next: Sealed }): Awaitable<boolean>;
  deleteTenant(
    named: OfTenant & { limit: number },
  ): Awaitable<{ connections: number; others: number; isComplete: boolean }>;
}

/** A complete storage: an object with the functions of all five parts. */
export interface Storage extends TokenStorage, ConnectionStorage, ConsentStorage, WebhookStorage, KeyStorage {}

/** How one check of the contract ended. */
export interface ContractOutcome {
  check: string;
  promise: string;
  /** How the storage broke the promise. `null` if it kept the promise. */
  failure: string | null;
  tookMs: number;
}

/** Checks whether a storage keeps the contract. Use it in the tests of your storage. */
export function checkStorage(
  storage: Storage,
  onOutcome?: (outcome: ContractOutcome) => void,
): Promise<ContractOutcome[]>;
