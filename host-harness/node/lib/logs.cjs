'use strict';
// Hands the logs of all hosts of this process to a logger of JavaScript.

// This module needs a real function, and the tests of a platform may replace the global functions for timers.
const { setImmediate } = require('node:timers');
const { isMainThread } = require('node:worker_threads');
const { addon } = require('./addon.cjs');
const { guarded } = require('./warnings.cjs');

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

/** The maximum number of records in one turn of the event loop, so that the loop does other work in between. */
const TURN = 256;

let current = null;

/**
 * Hands the logs of all hosts to this logger, for example that of pino, or `console`. The logger has a function for
 * each level, which gets the fields and the text.
 */
function logTo(logger, { level = 'info' } = {}) {
  for (const name of LEVELS) {
    if (typeof logger?.[name] !== 'function') {
      throw new TypeError(`logTo: the logger has no function ${name}; it needs ${LEVELS.join(', ')}`);
    }
  }
  // A worker would take the logs of all threads, and they would end with the worker.
  if (!isMainThread) throw new Error('logTo: call it on the main thread, which gets the logs of all threads');
  flushLogs();
  addon.forwardLogs(level, fetchLogs);
  if (current === null) process.on('exit', flushLogs);
  current = logger;
  // If a call of the earlier function was pending, it is lost. So fetch the records now.
  fetchLogs();
}

/** Hands over some records. Further ones follow in the next turns of the event loop. */
function fetchLogs() {
  if (handOver()) setImmediate(fetchLogs);
}

/** Hands over all records that wait. The event loop does not turn any more while the process exits. */
function flushLogs() {
  while (current !== null && handOver());
}

/** Hands over the records of one turn. Returns whether further records may wait. */
function handOver() {
  const records = addon.takeLogs(TURN);
  for (const text of records) {
    const { level, target, message, fields } = JSON.parse(text);
    guarded('the logger', () => current[level]({ target, ...fields }, message));
  }
  return records.length === TURN;
}

module.exports = { flushLogs, logTo };
