// Tests the package as a user gets it: packs it, installs the archive into an empty project, and runs the tests there.
//
// node scripts/test.mjs [NODE OPTIONS]
//
// FAKE_TIKTOK_SHOP names the program of the fake. TIKTOK_SHOP_KEEP_PROJECT=1 keeps the project and prints its folder.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const WORKSPACE = path.join(PACKAGE, '../..');
const TARGET = path.resolve(WORKSPACE, process.env.CARGO_TARGET_DIR ?? 'target');

const project = realpathSync(mkdtempSync(path.join(tmpdir(), 'tiktok-shop-node-')));
const run = (program, args, options) => execFileSync(program, args, { encoding: 'utf8', ...options });
let tested;
try {
  run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: PACKAGE });
  const [archive] = readdirSync(project).filter((name) => name.endsWith('.tgz'));
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--offline', `./${archive}`], { cwd: project });
  cpSync(path.join(PACKAGE, 'test'), path.join(project, 'test'), { recursive: true });
  // The tools of the tests: the compiler of TypeScript and others.
  for (const tool of ['typescript', '@types', 'pino', 'prom-client']) {
    const link = path.join(project, 'node_modules', tool);
    symlinkSync(path.join(PACKAGE, 'node_modules', tool), link);
  }
  const environment = {
    FAKE_TIKTOK_SHOP: path.join(TARGET, 'debug/fake-tiktok-shop'),
    // Compiling the component for every host would be most of the time of the tests.
    TIKTOK_SHOP_TEST_CACHE: path.join(project, 'compiled'),
    TIKTOK_SHOP_SCENARIO: path.join(WORKSPACE, 'tests/scenario/scenario.json'),
    ...process.env,
  };
  const files = readdirSync(path.join(project, 'test')).filter((name) => name.endsWith('.test.mjs'));
  const args = ['--test', '--test-reporter', 'tap', ...process.argv.slice(2), ...files.map((name) => `test/${name}`)];
  tested = spawnSync(process.execPath, args, { cwd: project, stdio: 'inherit', env: environment });
} finally {
  if (process.env.TIKTOK_SHOP_KEEP_PROJECT) console.log(project);
  else rmSync(project, { recursive: true, force: true });
}
process.exit(tested.status ?? 1);
