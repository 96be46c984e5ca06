'use strict';
// The outcomes of requests. The addon hands each outcome to one function, with the number of its request.

// A platform's tests may replace the global functions for timers.
const { setInterval } = require('node:timers');

/** The requests that have not ended, by their numbers: the functions that resolve their promises. */
const waiting = new Map();
let last = 0;

/** A timer that does nothing. It keeps Node.js alive while there are requests, because the addon does not. */
const alive = setInterval(() => {}, 0x7fff_ffff).unref();

/** Gets an outcome from the addon: the result or the error as JSON, and the body of TikTok Shop's answer. */
function settle(number, isOk, text, body) {
  const resolve = waiting.get(number);
  waiting.delete(number);
  if (waiting.size === 0) alive.unref();
  resolve({ isOk, text, body });
}

/** Makes a request, and returns a promise of its outcome. `make` gets the number of the request. */
function outcomeOf(make) {
  return new Promise((resolve) => {
    do last = (last + 1) % 0x1_0000_0000;
    while (waiting.has(last));
    const number = last;
    // If the request can't be made, the promise is rejected.
    make(number);
    if (waiting.size === 0) alive.ref();
    waiting.set(number, resolve);
  });
}

module.exports = { outcomeOf, settle };
