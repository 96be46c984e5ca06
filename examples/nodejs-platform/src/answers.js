// What the platform answers, on every framework.

import { InvalidRequestError, ReauthorizeError, RetryAfterError, TikTokShopError } from 'tiktok-shop-connector';

/** Returns the query of an address, unchanged. `finishConsent` needs it as it arrived. */
export function queryOf(url) {
  const mark = url.indexOf('?');
  return mark < 0 ? '' : url.slice(mark + 1);
}

/** Returns false for a form that another site has sent. */
export function isSameSite(headers) {
  const from = headers['sec-fetch-site'];
  return from === undefined || from === 'same-origin' || from === 'none';
}

/** Returns the name of the message for a consent that was not finished. */
export function messageOf(error) {
  if (error.code === 'consent-refused') return 'refused';
  if (error.code === 'other-browser') return 'other-browser';
  return error instanceof ReauthorizeError ? 'start-again' : 'try-again';
}

/** Returns the HTTP status for an error. */
export function statusOf(error) {
  if (error instanceof RetryAfterError) return 503;
  if (error instanceof ReauthorizeError) return 409;
  if (error instanceof InvalidRequestError) return 404;
  // A framework's own error, for example about a body that is too large, has a status.
  return error instanceof TikTokShopError ? 500 : (error.statusCode ?? 500);
}
