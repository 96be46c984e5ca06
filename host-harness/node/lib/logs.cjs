'use strict';
// Hands the logs of all hosts of this process to a logger of JavaScript.

const { addon } = require('./addon.cjs');
const { guarded } = require('./warnings.cjs');

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

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
  addon.forwardLogs(level, (_number, _name, text) => {
    const { level: at, target, message, fields } = JSON.parse(text);
    guarded('the logger', () => logger[at]({ target, ...fields }, message));
  });
}

module.exports = { logTo };
