// The types of the arguments and results of a host.

import type { Secret, TikTokShopError } from './index.cjs';

/** If the signal is aborted, the promise rejects with the signal's reason. The request continues until its end. */
export interface CallOptions {
  signal?: AbortSignal;
}

export type ShopPolicy = 'all' | 'exactly-one';

export interface ConnectionName {
  customer: string;
  account: string;
}

/** A connection that the lists leave out because of its row. */
export interface LeftOut {
  account: string;
  /** A refresh writes a missing row again. In the other cases, the error of a refresh says what to do. */
  code: 'row-missing' | 'row-changed' | 'row-unreadable';
}

export interface Shop {
  id: string;
  account: string;
  app: string | null;
  name: string;
  region: string;
  sellerType: string;
  code: string;
  standing: 'granted' | 'inactive' | 'no-longer-granted' | 'unconfirmed';
  linked: boolean;
  /** Whether the customer may use the shop now. */
  usable: boolean;
  hasCipher: boolean;
  /** The shop as TikTok Shop sent it: JSON as text, without the cipher. */
  raw: string;
}

export interface Connection extends ConnectionName {
  app: string | null;
  sellerName: string;
  sellerBaseRegion: string;
  grantedScopes: string[];
  shopPolicy: ShopPolicy;
  status: 'active' | 'authorization-ending' | 'reauthorization-required';
  /** Why a new consent is needed. */
  reason: 'authorization-expired' | 'authorization-revoked' | 'refresh-outcome-unknown' | null;
  /** When the authorization ends, if the status is `authorization-ending`. */
  endsAt: Date | null;
  accessExpiresAt: Date | null;
  refreshExpiresAt: Date | null;
  authorizationEndsAt: Date | null;
  connectedAt: Date;
  grantedAt: Date;
  refreshedAt: Date;
  /** When the shops were last read. `null` if they were never read. */
  shopsSyncedAt: Date | null;
  shops: Shop[];
  lastFailure: {
    at: Date;
    code: string;
    detail: string;
    tiktokHttpStatus: number | null;
    tiktokRequestId: string | null;
  } | null;
}

export interface Refreshed {
  connection: Connection;
  effect: 'renewed' | 'shops-read' | 'nothing-sent';
  /** Why nothing was sent, if the effect is `nothing-sent`. The connection works. */
  nothingSent: TikTokShopError | null;
}

export interface ValidToken {
  account: string;
  token: Secret;
  expiresAt: Date | null;
}

export interface ExistingGrant {
  account: string | null;
  refreshToken: Secret;
  accessToken: Secret | null;
  accessTokenEnds: Date | null;
  refreshTokenEnds: Date | null;
}

export interface PendingInstall {
  /** Put the id into the form with which the customer confirms. */
  id: Secret;
  app: string;
  account: string;
  sellerName: string;
  sellerBaseRegion: string;
  grantedScopes: string[];
  shops: { id: string; name: string; region: string; sellerType: string; code: string }[];
}

export interface SharedConnections {
  /** The connections of other customers that would lose shops. */
  connections: (ConnectionName & { shops: string[] })[];
  /** Accounts whose list of shops was not read. More connections may be concerned. */
  shopsNotRead: string[];
}

export interface Disconnected {
  /** The connections that the call named. Empty if there was none, so nothing changed. */
  found: ConnectionName[];
  remaining: Connection[];
  revoked: { account: string; shop: string }[];
  notRevoked: { account: string; shop: string | null; code: string; detail: string }[];
}

export interface Webhook {
  app: string;
  notificationId: string | null;
  /** TikTok Shop's number for the type of event. */
  eventType: number;
  shop: string | null;
  occurredAt: Date | null;
  /** The member `data`, as unchanged JSON. */
  data: string;
  /** The connections that know the shop. Show the event only to customers whose `mayUse` is true. */
  owners: (ConnectionName & { mayUse: boolean })[];
  effect: 'none' | 'verification-due' | 'authorization-ending';
}

export interface WebhookReply {
  /** The HTTP status with which to answer TikTok Shop. */
  status: number;
  reply:
    | 'handled'
    | 'repeated'
    | 'forged'
    | 'malformed'
    | 'too-large'
    | 'not-handled'
    | 'not-received'
    | 'not-read'
    | 'late';
  /** A `TikTokShopError`, or what your function threw. */
  error: unknown;
}

/** What happened to a connection or to the tenant's keys. */
export interface Event {
  /** The position. Pass it as `after` to read later events. */
  position: string;
  at: Date;
  event: string;
  customer: string | null;
  account: string | null;
  reason: string | null;
  days: number | null;
  endsAt: Date | null;
  shops: string[] | null;
  hostKey: string | null;
  actor: string | null;
  statedReason: string | null;
  cause: string | null;
}

export interface Swept {
  refreshed: number;
  ended: number;
  noLongerDue: number;
  held: number;
  backingOff: number;
  /** The number of `held` and `backingOff` connections that do not work now. */
  unusable: number;
  failed: number;
  notices: number;
  /** Whether the signal stopped the sweep. */
  stopped: boolean;
  /** The number of connections that are still due after a stopped sweep. */
  left: number;
  /** The due connections that were not refreshed. */
  notRefreshed: (ConnectionName & {
    tenant: string;
    outcome: 'held' | 'backing-off' | 'ended' | 'no-longer-due' | 'failed';
    /** When the waiting ends. */
    until: Date | null;
    usable: boolean | null;
    error: TikTokShopError | null;
  })[];
}

export interface KeyStatus {
  /** The host key that wraps new data keys. */
  current: string;
  isRotated: boolean;
  keys: {
    tenant: string;
    key: string;
    hostKey: string | null;
    /** The host key that wraps new data keys of the tenant. `null` if there is none for the tenant. */
    current: string | null;
    records: number;
  }[];
}

/** Which host keys open the stored data keys. */
export interface HostKeyCheck {
  /** The ids of the host keys that opened a data key. */
  usable: string[];
  /** The host keys that opened none. */
  unusable: { hostKey: string; reason: 'unavailable' | 'unknown' | 'mismatch'; message: string }[];
  /** Whether data keys are stored, and the host keys open none of them. Then do not start. */
  fitsNothing: boolean;
  /** Whether a host key is unavailable, and no host key opened a data key. Nobody knows whether the keys fit. */
  nothingAvailable: boolean;
  /** Whether there is no data key yet. Then any host key fits. */
  foundNoDataKey: boolean;
}

/** What was erased of a tenant. */
export interface ErasedTenant {
  /** The number of data keys. */
  keys: number;
  connections: number;
  others: number;
  /**
   * What happened to the tenant's host key. `destroyed`: nobody can open the tenant's values any more, not even in a
   * backup of the database. The exception is a backup from before a move from host keys that all tenants shared.
   * `not-allowed`: the host had to keep the key, or the key provider has no function `destroy`. `next` says what
   * somebody must do. `shared`: all tenants have the same host keys.
   */
  hostKey: 'destroyed' | 'not-allowed' | 'shared';
  next: string | null;
}

/** A customer of a tenant. */
export interface OfCustomer {
  tenant: string;
  customer: string;
}

/** A customer of a tenant, and one of the customer's accounts. Without `account`, the only account. */
export interface OfAccount extends OfCustomer {
  account?: string;
}

/**
 * An account or a shop of a customer. Without both members, all accounts. A member with the value `undefined` or `null`
 * is refused, so that a missing value never means all accounts. The compiler finds it with
 * `exactOptionalPropertyTypes`.
 */
export type Target = OfCustomer & ({ account?: string; shop?: never } | { shop: string; account?: never });

/** A value in the query of a call. A number must be finite. */
export type QueryValue = string | number | bigint | boolean;

/**
 * A request to TikTok Shop's API. The connector adds the app key, the time, the token, the cipher and a signature.
 * With `shop`, the request uses one shop; with `account`, the whole account; with neither, the customer's only account.
 * A member with the value `undefined` or `null` is refused, so that a missing value never means the whole account. The
 * compiler finds it with `exactOptionalPropertyTypes`.
 */
export type CallRequest = OfCustomer &
  ({ shop: string; account?: never } | { account?: string; shop?: never }) & {
    method: 'GET' | 'POST' | 'PUT' | 'DELETE';
    /** The path. It starts with one `/`. */
    path: string;
    /** An object, `URLSearchParams`, or pairs of a name and a value. Members that are `undefined` are left out. */
    query?: Record<string, QueryValue | undefined> | Iterable<readonly [string, QueryValue | undefined]>;
    /**
     * A plain object or an array is sent as JSON. A text and bytes (an `ArrayBuffer` or a view of one) are sent
     * unchanged. Other objects are refused, for example `FormData`, a `Blob`, a `Map` and an object of a class.
     */
    body?: object | string;
    contentType?: string;
    /** The largest answer that is read. Default: 1 MiB. At most 4 MiB. */
    maxResponseBytes?: number;
  };

/** The head and the body of a webhook. */
export interface WebhookRequest {
  tenant: string;
  app?: string;
  /** The value of the header `Authorization`. A webhook without it is forged. */
  authorization: string | null | undefined;
  /** The body as it arrived, byte for byte. A parsed body and a text are refused. */
  body: ArrayBuffer | ArrayBufferView;
}
