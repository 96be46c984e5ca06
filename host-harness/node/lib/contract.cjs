'use strict';
// Checks whether a storage of your own keeps the contract of a storage.

const { addon } = require('./addon.cjs');
const { dispatcher } = require('./dispatch.cjs');
const { errorOf } = require('./errors.cjs');
const { outcomeOf, settle } = require('./outcomes.cjs');

/** Runs all checks on this storage, calls `onOutcome` after each one, and returns all outcomes. */
async function checkStorage(storage, onOutcome = () => {}) {
  const report = (_number, _name, text) => onOutcome(JSON.parse(text));
  const check = (number) => addon.checkContract(number, settle, dispatcher(storage), report);
  const { isOk, text } = await outcomeOf(check);
  if (!isOk) throw errorOf(JSON.parse(text));
  return JSON.parse(text);
}

module.exports = { checkStorage };
