// The types of the package. docs/nodejs.md in the repository explains the functions with examples.

import type { KeyProvider, KeyService } from './keys.cjs';
import type { Storage } from './storage.cjs';
import type {
  CallOptions,
  CallRequest,
  Connection,
  ConnectionName,
  Disconnected,
  ErasedTenant,
  Event,
  ExistingGrant,
  HostKeyCheck,
  KeyStatus,
  LeftOut,
  OfAccount,
  OfCustomer,
  PendingInstall,
  Refreshed,
  SharedConnections,
  Shop,
  ShopPolicy,
  Swept,
  Target,
  ValidToken,
  Webhook,
  WebhookReply,
  WebhookRequest,
} from './types.cjs';

export * from './keys.cjs';
export * from './storage.cjs';
export * from './types.cjs';

/** A secret text. `toString`, `JSON.stringify` and `console.log` show `[redacted]`. Only `expose` returns the text. */
export class Secret {
  constructor(text: string);
  expose(): string;
  toString(): string;
  toJSON(): string;
}

/** A secret that a call takes. */
export type SecretInput = Secret | string;

/** What the platform does next after an error. */
export type Action =
  | 'retry-after'
  | 'reauthorize'
  | 'misconfigured'
  | 'invalid-request'
  | 'upstream'
  | 'storage-conflict'
  | 'storage-failed'
  | 'internal';

/** An error of a host. It contains no secret. Each action has a class. */
export class TikTokShopError extends Error {
  protected constructor();
  /** What to do next. */
  readonly action: Action;
  /**
   * What happened. You may branch on the codes that docs/errors.md names. The others are for counting and for support.
   * Later versions add codes.
   */
  readonly code: string;
  /** The pause before the same call may be made again, in milliseconds. */
  readonly retryAfterMs: number | null;
  /** The HTTP status of TikTok Shop's answer, if TikTok Shop answered. */
  readonly tiktokHttpStatus: number | null;
  /** TikTok Shop's id of the request, for TikTok Shop's support. */
  readonly tiktokRequestId: string | null;
}

/** Make the same call again after `retryAfterMs`. */
export class RetryAfterError extends TikTokShopError {
  readonly action: 'retry-after';
  readonly retryAfterMs: number;
}
/** Ask the seller for a new consent. */
export class ReauthorizeError extends TikTokShopError {
  readonly action: 'reauthorize';
}
/** An operator must correct the settings. */
export class MisconfiguredError extends TikTokShopError {
  readonly action: 'misconfigured';
}
/** Correct the arguments. */
export class InvalidRequestError extends TikTokShopError {
  readonly action: 'invalid-request';
}
/** Show the error, and do not repeat the call automatically. */
export class UpstreamError extends TikTokShopError {
  readonly action: 'upstream';
}
/** Make the same call again. */
export class StorageConflictError extends TikTokShopError {
  readonly action: 'storage-conflict';
}
/** An operator must restore the storage. Then make the call again. */
export class StorageFailedError extends TikTokShopError {
  readonly action: 'storage-failed';
}
/** Report a bug. */
export class InternalError extends TikTokShopError {
  readonly action: 'internal';
}

/** The credentials of an app. */
export interface App {
  /** The "App Key" of Partner Center. */
  appKey: string;
  /** The "App Secret" of Partner Center. */
  appSecret: SecretInput;
  /** The secret before the latest rotation. Webhooks that are signed with it are accepted, too. */
  previousAppSecret?: SecretInput;
  /** The link that Partner Center shows under "Copy authorization link". */
  authorizationLink?: string;
}

/** An app of a tenant. */
export interface TenantApp extends App {
  tenant: string;
}

/** Where the host keys come from. */
export type HostKeys =
  /** The text of a key file, for example from a secret manager. */
  | { text: SecretInput }
  /** A key file, which must exist. `tiktok-shop-harness keys init` makes one. */
  | { file: string }
  /** A key file, which is made if it does not exist. Only for tests and for a first try. */
  | { fileOrNew: string }
  /** OpenBao or Vault. */
  | { keyService: KeyService<SecretInput> }
  /** A key provider of your own. */
  | KeyProvider
  /** A new key, which is lost when the process ends. Only for a storage in memory. */
  | 'drawn';

/** A request that has ended, for metrics. It names no tenant, no customer and no shop. */
export interface EndedRequest {
  /** The name of the operation, for example `refresh`. */
  operation: string;
  /** `ok`, the action of the error, or the reply to a webhook. */
  outcome: string;
  /** The code of the error. */
  code: string | null;
  durationMs: number;
}

/** The limits of a host. None may be 0. */
export interface Limits {
  /** How many calls run at the same time, not counting webhooks. Further calls wait. Default: 100. */
  concurrentCalls?: number;
  /** How many webhooks are received at the same time. Further webhooks wait. Default: 40. */
  concurrentWebhooks?: number;
  /** The share of these places that one tenant may use, in per cent. Default: 25. Use 100 if there is one tenant. */
  tenantPercent?: number;
  /** The maximum size of a webhook's body in bytes. A value above 1048576 counts as 1048576. Default: 262144. */
  webhookBodyBytes?: number;
  /** The maximum size of the body of one answer of TikTok Shop, in bytes. Default: 8388608. */
  responseBytes?: number;
}

/**
 * The deadlines of a host in milliseconds. None may be 0. `Host.open` rejects deadlines that contradict each other, with
 * the code `host-not-built`.
 */
export interface Deadlines {
  /** How long a call may wait for its turn. Default: 10000. */
  queueMs?: number;
  /** The time for a whole call: at least 3 × `requestMs` + 3 × `saveMs`. Default: 120000. */
  callMs?: number;
  /** The time for the function `apps`, for one read of the storage, or for one save. Default and maximum: 10000. */
  saveMs?: number;
  /** The time to resolve the name and to connect. With a proxy, it applies twice. Default: 5000. */
  connectMs?: number;
  /** The time for each TLS handshake. Default: 5000. */
  tlsMs?: number;
  /** The time from sending a request to the head of its answer. Default: 15000. */
  firstByteMs?: number;
  /** The time between two parts of the body of an answer. Default: 10000. */
  betweenBytesMs?: number;
  /** The time for a whole request. Less than 30000, and at least `connectMs` + `tlsMs`. Default: 25000. */
  requestMs?: number;
}

export interface HostOptions {
  /** `memory:`, `sqlite:PATH`, `postgres://…` (also as a `Secret`), or a storage of your own. */
  storage: SecretInput | Storage;
  /** What opening a database may create or change. Default: nothing. */
  tables?: 'existing' | 'create' | 'migrate';
  keys: HostKeys;
  /** The host keys that were used before a key service or a key provider of your own. They only open earlier data. */
  earlierKeys?: { text: SecretInput } | { file: string } | { keyService: KeyService<SecretInput> };
  /** The apps of all tenants, or a function that returns the apps of one tenant. The host calls it for each call. */
  apps: TenantApp[] | ((tenant: string) => App[] | Promise<App[]>);
  /** The address of a fake TikTok Shop on this machine. Without it, requests go to TikTok Shop. */
  fake?: string;
  /** The address of a forward proxy. */
  proxy?: SecretInput;
  /** A folder in which the compiled component is kept, so that the next start is faster. */
  compiledCache?: string;
  /** Allows `exportGrant`. */
  allowExport?: boolean;
  /** Refuses rows that a host of release 0.1 wrote. */
  refuseUnsealedRows?: boolean;
  limits?: Limits;
  deadlines?: Deadlines;
  /** Is called after each request, for metrics. An error in it becomes a warning of the process. */
  onRequest?: (ended: EndedRequest) => void;
}

/** The answer of TikTok Shop to a signed call. It may be an error of TikTok Shop. */
export class CallResponse {
  private constructor();
  readonly httpStatus: number;
  /** The code in the answer, as text. `0` means success. */
  readonly code: string | null;
  readonly requestId: string | null;
  readonly contentType: string | null;
  /** Whether the code is 0 and the HTTP status is 2xx. */
  readonly isSuccess: boolean;
  readonly body: Buffer;
  text(): string;
  json(): unknown;
}

/** A host. Open one for each process, and close it at the end. */
export class Host implements AsyncDisposable {
  private constructor();
  static open(options: HostOptions): Promise<Host>;

  /** The name and version of the component. */
  readonly plugin: string;

  /**
   * A host that names this actor in events and logs. It shares everything else. Throws a `TypeError` if the argument is
   * not a string. The end of its block with `await using` does not close it, and `close` closes the shared host.
   */
  actingAs(actor: string): Host;
  /**
   * A host that states this reason in events. It shares everything else. Throws a `TypeError` if the argument is not a
   * string. The end of its block with `await using` does not close it, and `close` closes the shared host.
   */
  because(reason: string): Host;

  /**
   * Accepts no further requests, and waits until all requests have ended. Stops `sweep` and `sharedConnections`, and
   * ends `rotateKeys` at its pause.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  /** Returns the keys of the tenant's apps. */
  apps(named: { tenant: string }, options?: CallOptions): Promise<string[]>;

  /** Begins a consent. Send the browser to `url`. `browser` is the secret of the signed-in session. */
  beginConsent(
    named: OfCustomer & { browser: SecretInput; app?: string; shopPolicy?: ShopPolicy },
    options?: CallOptions,
  ): Promise<{ url: Secret }>;
  /** Finishes the consent that this browser began. `query` is the query of the callback, unchanged. */
  finishConsent(
    named: { tenant: string; browser: SecretInput; query: SecretInput },
    options?: CallOptions,
  ): Promise<Connection>;
  /** Returns the link to TikTok Shop's consent page, for a state of your own. */
  authorizationUrl(
    named: { tenant: string; state: SecretInput; app?: string },
    options?: CallOptions,
  ): Promise<{ url: Secret }>;
  /** Connects with a code, or with a callback and the state that it must contain. */
  connect(
    named: OfCustomer & { app?: string; shopPolicy?: ShopPolicy } & (
        { code: SecretInput; query?: never; state?: never } | { query: SecretInput; state: SecretInput; code?: never }
      ),
    options?: CallOptions,
  ): Promise<Connection>;
  /**
   * Takes over a seller of another system, or the result of `exportGrant`. The other system must have stopped its
   * refreshes. `null` means that the value is unknown.
   */
  importGrant(
    named: OfCustomer & {
      account?: string | null;
      app?: string;
      refreshToken: SecretInput;
      accessToken?: SecretInput | null;
      accessTokenEnds?: Date | null;
      refreshTokenEnds?: Date | null;
      shopPolicy?: ShopPolicy;
    },
    options?: CallOptions,
  ): Promise<Connection>;
  /** Returns the tokens of a connection, for another installation. Needs `allowExport`. */
  exportGrant(named: OfAccount, options?: CallOptions): Promise<ExistingGrant>;

  /** Begins an install from TikTok's App Store. It connects nothing. */
  beginInstall(
    named: OfCustomer & { browser: SecretInput; query: SecretInput; app?: string },
    options?: CallOptions,
  ): Promise<PendingInstall>;
  confirmInstall(
    named: OfCustomer & { browser: SecretInput; id: SecretInput; shopPolicy?: ShopPolicy },
    options?: CallOptions,
  ): Promise<Connection>;
  cancelInstall(
    named: OfCustomer & { browser: SecretInput; id: SecretInput },
    options?: CallOptions,
  ): Promise<{ found: boolean }>;

  /** Renews the tokens if they are due or `mode` is `forced`, and reads the shops. */
  refresh(named: OfAccount & { mode?: 'when-due' | 'forced' }, options?: CallOptions): Promise<Refreshed>;
  /** Returns the shops that the customer may use now. */
  listShops(named: OfCustomer, options?: CallOptions): Promise<Shop[]>;
  listConnections(named: OfCustomer, options?: CallOptions): Promise<Connection[]>;
  /**
   * Returns the connections whose tokens are stored, and which `listShops` and `listConnections` leave out because of
   * their rows. If it returns none and `listConnections` returns none, the customer is not connected.
   */
  leftOut(named: OfCustomer, options?: CallOptions): Promise<LeftOut[]>;
  /** Returns a page of the tenant's connections. Pass the last one as `after` to get the next page. */
  tenantConnections(
    named: {
      tenant: string;
      status?: Connection['status'];
      shop?: string;
      account?: string;
      sellerName?: string;
      after?: ConnectionName;
      /** 1 to 1000. Default: 100. */
      limit?: number;
    },
    options?: CallOptions,
  ): Promise<Connection[]>;
  /** Links exactly these shops of the account. */
  linkShops(named: OfAccount & { shops: string[] }, options?: CallOptions): Promise<Connection>;

  /** Returns a token that is valid for at least this time, which is at most one hour. Causes an event. */
  accessToken(named: OfAccount & { minValiditySeconds?: number }, options?: CallOptions): Promise<ValidToken>;
  /** Makes a signed call of TikTok Shop's API. */
  call(request: CallRequest, options?: CallOptions): Promise<CallResponse>;

  /**
   * Returns the connections of other customers that would lose shops by a revocation. After a stop by the signal, the
   * result says so.
   */
  sharedConnections(named: Target, options?: CallOptions): Promise<SharedConnections>;
  /** Ends the connections that the arguments name. Without `shop` and `account`, these are all of the customer. */
  disconnect(named: Target & { tiktokAccess: 'keep' | 'revoke' }, options?: CallOptions): Promise<Disconnected>;

  /**
   * Receives a webhook, and calls `handle` unless it was handled before. Answer TikTok Shop with `status`. The promise
   * does not reject because of a bad webhook. It rejects if the host is closed, or if `tenant` or `app` is no valid id.
   * A body that is not bytes is a mistake of the platform: a `TypeError`. Nothing ends `handle`, and `close` waits for
   * it.
   */
  acceptWebhook(named: WebhookRequest, handle: (webhook: Webhook) => unknown): Promise<WebhookReply>;
  /** Checks a webhook and records its effect. It does not notice repetitions. */
  receiveWebhook(named: WebhookRequest, options?: CallOptions): Promise<Webhook>;

  /** Returns the tenant's events behind the position `after`. `limit` is 1 to 1000. Default: 100. */
  events(named: { tenant: string; after?: string; limit?: number }, options?: CallOptions): Promise<Event[]>;
  /** Refreshes all due connections. After a stop by the signal, the result says so. */
  sweep(named?: { concurrency?: number; jitterSeconds?: number }, options?: CallOptions): Promise<Swept>;

  keyStatus(options?: CallOptions): Promise<KeyStatus>;
  /** Rejects if a host key does not open a data key. */
  checkKeys(options?: CallOptions): Promise<void>;
  /**
   * Checks which host keys open the stored data keys: those of these tenants, or of all. If these tenants have no data
   * key, it checks those of all. Call it before the process serves customers. Rejects only if the storage does not
   * answer.
   */
  checkHostKeys(named?: { tenants?: string[] }, options?: CallOptions): Promise<HostKeyCheck>;
  /** Gives every tenant a new data key under the current host key. Takes at least three minutes. */
  rotateKeys(options?: CallOptions): Promise<{
    tenants: number;
    added: number;
    rewrapped: number;
    resealed: number;
    removed: number;
    unopened: number;
  }>;
  /** Adds a host key to the key file. */
  addHostKey(options?: CallOptions): Promise<{ hostKey: string }>;
  /** Makes a host key of the key file the current one. */
  promoteHostKey(named: { hostKey: string }, options?: CallOptions): Promise<void>;
  /** Removes an unused host key from the key file. */
  retireHostKey(named: { hostKey: string }, options?: CallOptions): Promise<void>;
  /** Deletes everything of a tenant, also its own host key, if possible. `null` if nothing was stored for it. */
  eraseTenant(named: { tenant: string }, options?: CallOptions): Promise<ErasedTenant | null>;

  /** Moves the clock of a host with a fake forward. For tests. */
  advanceClock(named: { seconds: number }): Promise<void>;
}

/** A logger with a function for each level, for example that of pino, or `console`. */
export type Logger = Record<'error' | 'warn' | 'info' | 'debug' | 'trace', (fields: object, text: string) => void>;

/**
 * Hands the logs of all hosts of this process to a logger. They contain no secret. A later call replaces the logger and
 * the level. Default: `info`. An error of the logger becomes a warning of the process. If more than 10000 records wait
 * for the event loop, further records are lost. Throws an error in a worker thread, because the main thread gets the
 * logs of all threads.
 */
export function logTo(logger: Logger, options?: { level?: keyof Logger }): void;

/**
 * Makes a call, and repeats it while its error asks for that: after the pause of a `RetryAfterError`, and up to three
 * times at once after a `StorageConflictError`. No call begins later than `withinMs` after the first. If the signal is
 * aborted, no further call begins, and the promise rejects with the signal's reason. Pass the signal to the call, too.
 * Rejects with a `TypeError` if `withinMs` is no number, or less than 0.
 */
export function withRetries<T>(withinMs: number, call: () => Promise<T>, options?: CallOptions): Promise<T>;
