'use strict';
// Repeats a call while its error asks for a repetition.

const { setTimeout: sleep } = require('node:timers/promises');
const { RetryAfterError, StorageConflictError } = require('./errors.cjs');

/** The maximum number of repetitions after a storage conflict. There is no pause before them. */
const MAX_CONFLICTS = 3;

/**
 * Makes a call, and repeats it while its error asks for that. No call begins later than `withinMs` after the first, or
 * after the signal is aborted.
 */
async function withRetries(withinMs, call, { signal } = {}) {
  // With another value, such as `undefined` or NaN, every comparison would be false, and no call would be repeated.
  if (!(typeof withinMs === 'number' && withinMs >= 0)) {
    throw new TypeError('withRetries: give the time in milliseconds as a number, 0 or more');
  }
  const began = performance.now();
  for (let conflicts = 0; ;) {
    signal?.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      const elapsed = performance.now() - began;
      if (error instanceof RetryAfterError && elapsed + error.retryAfterMs <= withinMs) {
        await pause(error.retryAfterMs, signal ?? undefined);
      } else if (error instanceof StorageConflictError && conflicts < MAX_CONFLICTS && elapsed <= withinMs) {
        conflicts += 1;
      } else {
        throw error;
      }
    }
  }
}

/** Waits. If the signal is aborted, rejects with the signal's reason. */
async function pause(milliseconds, signal) {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}

module.exports = { withRetries };
