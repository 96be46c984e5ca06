'use strict';
// Hands the logs of all hosts of this process to a logger of JavaScript.

const { addon } = require('./addon.cjs');

/**
 * Hands the logs of all hosts to this logger, for example that of pino, or `console`. The logger has a function for
 * each level, which gets the fields and the text.
 */
function logTo(logger, { level = 'info' } = {}) {
  addon.forwardLogs(level, (_number, _name, text) => {
    const { level: at, target, message, fields } = JSON.parse(text);
    logger[at]({ target, ...fields }, message);
  });
}

module.exports = { logTo };
