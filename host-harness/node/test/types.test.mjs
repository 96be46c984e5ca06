// The declarations fit a platform that is compiled with `strict`, as both kinds of modules.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import test from 'node:test';

const TSC = createRequire(import.meta.url).resolve('typescript/bin/tsc');

test('the declarations pass tsc with strict', () => {
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,esnext.disposable'];
  const modules = ['--module', 'nodenext', '--types', 'node'];
  const strictest = ['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  const files = ['test/types/usage.mts', 'test/types/usage.cts'];
  const args = [TSC, ...options, ...modules, ...strictest, ...files];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});
