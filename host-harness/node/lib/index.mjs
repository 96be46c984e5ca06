// The package for `import`.

import connector from './index.cjs';

export const {
  CallResponse,
  checkStorage,
  Host,
  HostKeyMismatch,
  HostKeyUnavailable,
  HostKeyUnknown,
  InternalError,
  InvalidRequestError,
  KeyGone,
  logTo,
  MisconfiguredError,
  ReauthorizeError,
  RetryAfterError,
  Secret,
  StorageConflictError,
  StorageFailedError,
  StorageRefused,
  TikTokShopError,
  UpstreamError,
  withRetries,
} = connector;
