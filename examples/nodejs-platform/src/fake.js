// Starts a fake TikTok Shop, so that the example runs on one machine. A real platform needs no such file.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM =
  process.env.FAKE_TIKTOK_SHOP ?? fileURLToPath(new URL('../../../target/debug/fake-tiktok-shop', import.meta.url));

/** Starts a fake that sends browsers back to this address. Returns its address, its app, and the function `stop`. */
export async function startFake(callback) {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run cargo build --bin fake-tiktok-shop`);
  const program = spawn(PROGRAM, ['--json', '--redirect', callback], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface(program.stdout)) {
    const { address, apps } = JSON.parse(line);
    const { app_key: appKey, app_secret: appSecret, authorization_link: authorizationLink } = apps[0];
    const app = { appKey, appSecret, authorizationLink };
    return { url: `http://${address}`, app, serviceId: apps[0].service_id, stop: () => program.kill() };
  }
  throw new Error(`${PROGRAM} did not start`);
}

/** Turns a link to TikTok Shop's consent page into a link to the fake's page. */
export function consentPageOf(fake) {
  return (link) => link.replace(/^https:\/\/[^/]+/, fake.url);
}
