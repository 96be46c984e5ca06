// Puts the addon and the component into the folder `native`, where `npm pack` finds them.
//
// node scripts/assemble.mjs [debug]
//
// Takes the addon of `cargo build --release`, or of `cargo build` with the argument `debug`, and the component of
// `cargo xtask dist`.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { machineOf } from '../lib/machine.cjs';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const WORKSPACE = path.join(PACKAGE, '../..');
const TARGET = path.resolve(WORKSPACE, process.env.CARGO_TARGET_DIR ?? 'target');
const ADDON = process.platform === 'darwin' ? 'libtiktok_shop_node.dylib' : 'libtiktok_shop_node.so';

const profile = process.argv[2] === 'debug' ? 'debug' : 'release';
const addon = path.join(TARGET, profile, ADDON);
const component = path.join(TARGET, 'dist/tiktok_shop_connector.wasm');
for (const [file, command] of [
  [addon, `cargo build --package tiktok-shop-node${profile === 'release' ? ' --release' : ''}`],
  [component, 'cargo xtask dist'],
]) {
  if (!existsSync(file)) throw new Error(`${file} is missing: run ${command}`);
}

const native = path.join(PACKAGE, 'native');
rmSync(native, { recursive: true, force: true });
mkdirSync(native);
const packed = path.join(native, `${machineOf(process)}.node`);
copyFileSync(addon, packed);
// The debug information makes the addon many times larger.
execFileSync('strip', [process.platform === 'darwin' ? '-x' : '--strip-unneeded', packed]);
copyFileSync(component, path.join(native, 'tiktok_shop_connector.wasm'));
const sha256 = createHash('sha256').update(readFileSync(component)).digest('hex');
writeFileSync(path.join(native, 'component.json'), `${JSON.stringify({ sha256 })}\n`);
copyFileSync(path.join(WORKSPACE, 'LICENSE'), path.join(PACKAGE, 'LICENSE'));
