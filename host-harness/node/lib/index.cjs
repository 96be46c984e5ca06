'use strict';
// The package for `require`. `index.mjs` exports the same objects for `import`.

const errors = require('./errors.cjs');
const { checkStorage } = require('./contract.cjs');
const { Host } = require('./host.cjs');
const { logTo } = require('./logs.cjs');
const { withRetries } = require('./retries.cjs');
const { Secret } = require('./secret.cjs');
const { CallResponse } = require('./values.cjs');

module.exports = { ...errors.classes, CallResponse, checkStorage, Host, logTo, Secret, withRetries };
