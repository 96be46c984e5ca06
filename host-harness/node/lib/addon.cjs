'use strict';
// Loads the addon of this machine, and finds the component beside it.

const { existsSync, readdirSync } = require('node:fs');
const path = require('node:path');

const FOLDER = path.join(__dirname, '..', 'native');
const machine = `${process.platform}-${process.arch}`;

function load() {
  const file = path.join(FOLDER, `${machine}.node`);
  if (existsSync(file)) return require(file);
  const others = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.node')) : [];
  const list = others.map((name) => path.basename(name, '.node')).join(', ') || 'no machine';
  throw new Error(`tiktok-shop-connector: this package has an addon for ${list}, and none for ${machine}`);
}

const { sha256 } = require(path.join(FOLDER, 'component.json'));
const component = { file: path.join(FOLDER, 'tiktok_shop_connector.wasm'), sha256 };

module.exports = { addon: load(), component };
