// A fake and a host for one test.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Host, Secret } from 'tiktok-shop-connector';
import { Fake } from './fake.mjs';

export const tenant = 'tenant-1';
export const customer = 'customer-7';
export const browser = new Secret('a-session-secret-of-32-characters');
export const SHOP = '7490000000000000001';
export const EIGHT_DAYS = 8 * 86_400;
/** The folder in which all hosts of the tests keep the compiled component. */
export const compiledCache = process.env.TIKTOK_SHOP_TEST_CACHE;

/** Starts a fake and opens a host that uses it. Both end with the test. */
export async function stage(t, options = {}) {
  const fake = await Fake.start();
  t.after(() => fake.stop());
  const usual = { storage: 'memory:', keys: 'drawn', apps: [fake.appOf(tenant)], fake: fake.url, compiledCache };
  const host = await Host.open({ ...usual, ...options });
  t.after(() => host.close());
  return { fake, host };
}

/** Connects the customer with the fake's seller. */
export async function connected({ fake, host }, seller = 'one-shop', who = customer) {
  const { url } = await host.beginConsent({ tenant, customer: who, browser });
  const query = await fake.decide(url.expose(), seller);
  return host.finishConsent({ tenant, browser, query });
}

/** Moves the clocks of the fake and the host forward. */
export async function advance({ fake, host }, seconds) {
  await fake.ask('POST', '/clock/advance', { seconds });
  await host.advanceClock({ seconds });
}

/** Returns a folder that only this user reads. It ends with the test. */
export function folder(t) {
  const made = mkdtempSync(path.join(tmpdir(), 'tiktok-shop-test-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}
