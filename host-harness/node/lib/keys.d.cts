// The types of a key provider of your own. docs/nodejs.md says what a provider promises.

import type { Awaitable } from './storage.cjs';

/** Throw it if the provider can't answer now. Its text reaches errors and logs, so it must contain no key. */
export class HostKeyUnavailable extends Error {
  readonly code: 'host-key-unavailable';
}

/** Throw it if the provider has no host key with this id, or none for this tenant. Its text is not shown. */
export class HostKeyUnknown extends Error {
  readonly code: 'host-key-unknown';
}

/** Throw it from `unwrap` if the host key with this id does not unwrap this data key. Its text is not shown. */
export class HostKeyMismatch extends Error {
  readonly code: 'host-key-mismatch';
}

/** A data key that a host key wraps. */
export interface WrappedDataKey {
  /** The id of the host key: 1 to 256 visible ASCII characters. It is stored, and errors and logs show it. */
  hostKey: string;
  /** 1 to 16384 bytes. */
  bytes: Uint8Array;
}

export type Destruction =
  /** The provider has no host key of this tenant any more, or has never had one. */
  | { outcome: 'destroyed' }
  /** The provider must keep the host key `key`. `next` says in one sentence what somebody must do. */
  | { outcome: 'not-allowed'; key: string; next: string }
  /** The same host keys wrap the data keys of all tenants. */
  | { outcome: 'not-possible' };

/**
 * A provider of host keys, for example with a key service. Every function may be asynchronous, and may take 8 seconds.
 * The host calls it rarely: when a tenant is new, when it first needs a tenant's keys, and then every 5 minutes while
 * it uses them. Also when keys are checked, rotated or erased.
 */
export interface KeyProvider {
  /**
   * Returns the id of the host key that `wrap` uses now. If each tenant has a host key of its own, returns one id that
   * names all these host keys.
   */
  current(): Awaitable<string>;
  /**
   * Wraps a data key with the current host key. `context` names the tenant and the data key. A data key that was
   * wrapped with one context must not unwrap with another one. The package overwrites `dataKey` when the function has
   * ended.
   */
  wrap(named: { tenant: string; dataKey: Buffer; context: Buffer }): Awaitable<WrappedDataKey>;
  /** Returns the 32 bytes of a data key that was wrapped with this context. */
  unwrap(named: {
    tenant: string;
    wrapped: { hostKey: string; bytes: Buffer };
    context: Buffer;
  }): Awaitable<Uint8Array>;
  /**
   * Returns the id of the host key that `wrap` uses now for this tenant. A provider has this function only if each
   * tenant has a host key of its own.
   */
  currentFor?(named: { tenant: string }): Awaitable<string>;
  /**
   * Destroys the tenant's host key, if `wrappedBy` contains an id of this key. Otherwise keeps it, because it may
   * belong to another database. `wrappedBy` has the ids of the host keys that wrap the tenant's data keys in this
   * database. Only for a provider with `currentFor`.
   */
  destroy?(named: { tenant: string; wrappedBy: string[] }): Awaitable<Destruction>;
}

interface KeyServiceSettings {
  /** The address of OpenBao or Vault. It must be https. On loopback, http is allowed, too. */
  address: string;
  /** The path of the transit engine. Default: `transit`. */
  mount?: string;
  /** The first part of the names of the keys. Default: `tiktok-shop`. With a fake, `-fake` is appended. */
  prefix?: string;
  namespace?: string;
  /** A PEM file with the authorities that may sign the certificate of the service. Default: Mozilla's authorities. */
  caFile?: string;
}

/** The settings of OpenBao or Vault. docs/keys.md explains them. `S` is the type of a secret. */
export type KeyService<S> = KeyServiceSettings &
  (
    | { auth: 'token'; token: S }
    | { auth: 'token-file'; tokenFile: string }
    | { auth: 'approle'; roleId: string; secretId: S; authMount?: string }
    | { auth: 'kubernetes'; role: string; jwtFile?: string; authMount?: string }
  );
