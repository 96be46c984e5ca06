'use strict';
// Checks whether a storage of your own keeps the contract of a storage.

const { addon } = require('./addon.cjs');
const { dispatcher } = require('./dispatch.cjs');
const { errorOf } = require('./errors.cjs');

/** Runs all checks on this storage, calls `onOutcome` after each one, and returns all outcomes. */
async function checkStorage(storage, onOutcome = () => {}) {
  const report = (_number, _name, text) => onOutcome(JSON.parse(text));
  const { isOk, text } = await addon.checkContract(dispatcher(storage), report);
  if (!isOk) throw errorOf(JSON.parse(text));
  return JSON.parse(text);
}

module.exports = { checkStorage };
