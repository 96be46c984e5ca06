// A real OpenBao server for one test, with the transit engine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAM = process.env.TIKTOK_SHOP_TEST_BAO;

/** Returns an address that is free now. */
async function freeAddress() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/**
 * Starts a server with its data in this folder. It ends with the test. Returns `null` if the variable
 * TIKTOK_SHOP_TEST_BAO names no program. In CI, this is an error.
 */
export async function startBao(t, folder) {
  assert.ok(PROGRAM || process.env.CI !== 'true', 'TIKTOK_SHOP_TEST_BAO names no program');
  if (!PROGRAM) return null;
  const [api, cluster] = [await freeAddress(), await freeAddress()];
  const [configuration, data] = [path.join(folder, 'server.json'), path.join(folder, 'data')];
  mkdirSync(data);
  const settings = {
    storage: { raft: { path: data, node_id: 'test', performance_multiplier: 1 } },
    listener: [{ tcp: { address: api, cluster_address: cluster, tls_disable: true } }],
    api_addr: `http://${api}`,
    cluster_addr: `http://${cluster}`,
  };
  writeFileSync(configuration, JSON.stringify(settings));
  const program = spawn(PROGRAM, ['server', '-config', configuration], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => program.kill('SIGKILL'));
  await hasStarted(program);
  const bao = { address: `http://${api}`, token: undefined };
  bao.ask = async (method, name, body) => {
    const headers = bao.token ? { 'x-vault-token': bao.token } : {};
    const answer = await fetch(`${bao.address}/v1/${name}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${name}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  };
  const { root_token: token, keys } = await bao.ask('POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 });
  await bao.ask('PUT', 'sys/unseal', { key: keys[0] });
  // A standby answers only when it has become active.
  await until(async () => (await fetch(`${bao.address}/v1/sys/health`)).status === 200);
  bao.token = token;
  await bao.ask('POST', 'sys/mounts/transit', { type: 'transit' });
  return bao;
}

async function hasStarted(program) {
  const lines = createInterface(program.stdout);
  await new Promise((resolve, reject) => {
    lines.on('line', (line) => line.includes('server started!') && resolve());
    program.once('exit', () => reject(new Error('OpenBao did not start')));
  });
}

/** Repeats a question to the server until its answer is yes. */
async function until(isTrue) {
  const end = performance.now() + 60_000;
  while (!(await isTrue())) assert.ok(performance.now() < end, 'OpenBao does not become active');
}
