'use strict';
// Waits for the outcomes of requests. The addon calls one function, `settle`, with each outcome and its number.

// This module needs a real timer, and the tests of a platform may replace the global functions for timers.
const { setInterval } = require('node:timers');

/** The functions that resolve the promises of the requests that have not ended, by the number of each request. */
const waiting = new Map();
let last = 0;

/** A timer that does nothing. It keeps Node.js alive while requests run, because the addon does not keep it alive. */
const alive = setInterval(() => {}, 0x7fff_ffff).unref();

/** Gets an outcome from the addon: the result or the error as JSON, and the body of TikTok Shop's answer. */
function settle(number, isOk, text, body) {
  const resolve = waiting.get(number);
  forget(number);
  resolve?.({ isOk, text, body });
}

/** Makes a request, and returns a promise of its outcome. `make` gets the number of the request. */
function outcomeOf(make) {
  return new Promise((resolve) => {
    do last = (last + 1) % 0x1_0000_0000;
    while (waiting.has(last));
    const number = last;
    if (waiting.size === 0) alive.ref();
    waiting.set(number, resolve);
    try {
      make(number);
    } catch (error) {
      // The promise is rejected. If the addon has begun the request, nobody waits for its outcome.
      forget(number);
      throw error;
    }
  });
}

function forget(number) {
  waiting.delete(number);
  if (waiting.size === 0) alive.unref();
}

module.exports = { outcomeOf, settle };
