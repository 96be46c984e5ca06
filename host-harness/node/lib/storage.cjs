'use strict';
// Checks the option `storage`. The addon calls the functions of a storage that is an object.

const { StorageRefused } = require('./errors.cjs');
const { Secret } = require('./secret.cjs');
const { isOneOf, shown } = require('./thrown.cjs');

const FUNCTIONS = [
  'belongsTo',
  'accounts',
  'loadToken',
  'swapToken',
  'due',
  'listRows',
  'loadRow',
  'swapRow',
  'owners',
  'tenantRows',
  'endings',
  'events',
  'knowsOnce',
  'appendOnce',
  'putState',
  'loadState',
  'useState',
  'releaseState',
  'putInstall',
  'loadInstall',
  'closeInstall',
  'deleteInstall',
  'deleteExpired',
  'knowsWebhook',
  'rememberWebhook',
  'tenantKeys',
  'addKey',
  'rewrapKey',
  'removeKey',
  'keyUses',
  'sealedUnder',
  'reseal',
  'deleteTenant',
];

/** Whether the option `storage` is a storage of the platform. Throws a TypeError if a function of it is missing. */
function isStorage(storage) {
  if (typeof storage !== 'object' || storage === null || storage instanceof Secret) return false;
  for (const name of FUNCTIONS) {
    if (typeof storage[name] !== 'function') {
      throw new TypeError(
        `storage: the object has no function ${name}; give memory:, sqlite:PATH, postgres://… or a complete storage`,
      );
    }
  }
  return true;
}

/** Returns the text of an error of a storage for errors and logs. An unknown text may contain a stored value. */
function storageText(thrown, name) {
  return isOneOf(thrown, [StorageRefused]) ? String(thrown.message) : `${name} of the storage threw ${shown(thrown)}`;
}

module.exports = { FUNCTIONS, isStorage, storageText };
