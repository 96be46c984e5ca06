'use strict';
// The errors of a host. There is one class for each action, which says what the platform does next.

/** An error of a host. `action` says what to do next, and `code` says what happened. It contains no secret. */
class TikTokShopError extends Error {
  constructor({ action, code, message, retryAfterMs, tiktokHttpStatus, tiktokRequestId }) {
    super(message);
    this.name = new.target.name;
    this.action = action;
    this.code = code;
    this.retryAfterMs = retryAfterMs ?? null;
    this.tiktokHttpStatus = tiktokHttpStatus ?? null;
    this.tiktokRequestId = tiktokRequestId ?? null;
  }
}

class RetryAfterError extends TikTokShopError {}
class ReauthorizeError extends TikTokShopError {}
class MisconfiguredError extends TikTokShopError {}
class InvalidRequestError extends TikTokShopError {}
class UpstreamError extends TikTokShopError {}
class StorageConflictError extends TikTokShopError {}
class StorageFailedError extends TikTokShopError {}
class InternalError extends TikTokShopError {}

const CLASSES = {
  'retry-after': RetryAfterError,
  reauthorize: ReauthorizeError,
  misconfigured: MisconfiguredError,
  'invalid-request': InvalidRequestError,
  upstream: UpstreamError,
  'storage-conflict': StorageConflictError,
  'storage-failed': StorageFailedError,
  internal: InternalError,
};

/** Returns the error that the addon describes. */
function errorOf(described) {
  return new (CLASSES[described.action] ?? InternalError)(described);
}

/** A storage of your own throws it if nothing was written, for example because of a limit. */
class StorageRefused extends Error {
  code = 'refused';
}

/** A storage of your own throws it if the tenant no longer has the key with which the value is sealed. */
class KeyGone extends Error {
  code = 'key-gone';
}

/**
 * A key provider of your own throws it if it can't answer now. Its text reaches errors and logs, so it must contain no
 * key.
 */
class HostKeyUnavailable extends Error {
  code = 'host-key-unavailable';
}

/** A key provider of your own throws it if it has no host key with this id, or none for this tenant. */
class HostKeyUnknown extends Error {
  code = 'host-key-unknown';
}

/** A key provider of your own throws it if the host key with this id does not unwrap this data key. */
class HostKeyMismatch extends Error {
  code = 'host-key-mismatch';
}

const classes = {
  TikTokShopError,
  RetryAfterError,
  ReauthorizeError,
  MisconfiguredError,
  InvalidRequestError,
  UpstreamError,
  StorageConflictError,
  StorageFailedError,
  InternalError,
  StorageRefused,
  KeyGone,
  HostKeyUnavailable,
  HostKeyUnknown,
  HostKeyMismatch,
};

module.exports = { ...classes, classes, errorOf };
