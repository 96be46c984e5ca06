'use strict';
// Checks whether a storage of your own keeps the contract of a storage.

const { addon } = require('./addon.cjs');
const { dispatcher } = require('./dispatch.cjs');

/** Runs all checks on this storage, calls `onOutcome` after each one, and returns all outcomes. */
async function checkStorage(storage, onOutcome = () => {}) {
  const report = (_number, _name, text) => onOutcome(JSON.parse(text));
  const { text } = await addon.checkContract(dispatcher(storage), report);
  return JSON.parse(text);
}

module.exports = { checkStorage };
