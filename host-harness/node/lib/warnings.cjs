'use strict';
// Calls functions of the platform whose errors concern no request. An error in them becomes a warning of the process.

const { shown } = require('./thrown.cjs');

/** The functions for which this thread has emitted a warning. A function that always throws causes only one warning. */
const warned = new Set();

/** Calls a function of the platform. If it throws, or its promise rejects, the process gets a warning, and goes on. */
function guarded(name, call) {
  const warn = (thrown) => warnOnce(name, thrown);
  try {
    const returned = call();
    if (typeof returned?.then === 'function') Promise.resolve(returned).catch(warn);
  } catch (thrown) {
    warn(thrown);
  }
}

function warnOnce(name, thrown) {
  if (warned.has(name)) return;
  warned.add(name);
  const text = `${name} threw ${shown(thrown)}. Further errors of ${name} are not shown.`;
  process.emitWarning(text, { type: 'TikTokShopWarning', detail: stackOf(thrown) });
}

/** Returns where the platform's function threw. The getter of a stack may throw, too. */
function stackOf(thrown) {
  try {
    return typeof thrown?.stack === 'string' ? thrown.stack : undefined;
  } catch {
    return undefined;
  }
}

module.exports = { guarded };
