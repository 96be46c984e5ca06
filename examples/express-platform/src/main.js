// Runs the platform against a fake TikTok Shop: `npm start`, then open the address that it prints.

import pino from 'pino';
import { consentPageOf, startFake } from './fake.js';
import { startPlatform } from './platform.js';

const PORT = Number(process.env.PORT ?? 8000);
const tenant = 'acme';
const log = pino();

const fake = await startFake(`http://127.0.0.1:${PORT}/callback`);
// A real platform has `storage: 'postgres://…'`, a key file, its own app, and no `fake`.
const hostOptions = { storage: 'memory:', keys: 'drawn', apps: [{ tenant, ...fake.app }], fake: fake.url };
const platform = await startPlatform({ hostOptions, tenant, port: PORT, log, consentPage: consentPageOf(fake) });
log.info(`open ${platform.address}`);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await platform.stop();
    fake.stop();
  });
}
