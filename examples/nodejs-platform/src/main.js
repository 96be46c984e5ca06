// Runs the platform against a fake TikTok Shop: `npm start` or `npm start fastify`. Then open the address that it
// prints.

import pino from 'pino';
import { logTo } from 'tiktok-shop-connector';
import * as express from './express.js';
import { consentPageOf, startFake } from './fake.js';
import * as fastify from './fastify.js';
import { startPlatform } from './platform.js';

const PORT = Number(process.env.PORT ?? 8000);
const { listen } = process.argv[2] === 'fastify' ? fastify : express;
const tenant = 'acme';
const log = pino();
logTo(log);

const fake = await startFake(`http://127.0.0.1:${PORT}/callback`);
// A real platform has `storage: 'postgres://…'`, a key file, its own app, and no `fake`.
const hostOptions = { storage: 'memory:', keys: 'drawn', apps: [{ tenant, ...fake.app }], fake: fake.url };
const consentPage = consentPageOf(fake);
const platform = await startPlatform({ listen, hostOptions, tenant, port: PORT, log, consentPage });
log.info(`open ${platform.address}`);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await platform.stop();
    fake.stop();
  });
}
