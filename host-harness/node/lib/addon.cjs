'use strict';
// Loads the addon of this machine, and finds the component beside it.

const { existsSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { machineOf } = require('./machine.cjs');

const FOLDER = path.join(__dirname, '..', 'native');

function load() {
  const machine = machineOf(process);
  const file = path.join(FOLDER, `${machine}.node`);
  if (!existsSync(file)) {
    const others = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.node')) : [];
    const list = others.map((name) => path.basename(name, '.node')).join(', ') || 'no machine';
    throw new Error(`tiktok-shop-connector: this package has an addon for ${list}, and none for ${machine}`);
  }
  try {
    return require(file);
  } catch (cause) {
    const advice = 'Make the package on a machine with the same system, or with an older version of it.';
    throw new Error(`tiktok-shop-connector: the addon for ${machine} can't be loaded. ${advice}`, { cause });
  }
}

const { sha256 } = require(path.join(FOLDER, 'component.json'));
const component = { file: path.join(FOLDER, 'tiktok_shop_connector.wasm'), sha256 };

module.exports = { addon: load(), component };
