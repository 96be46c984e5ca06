// The platform on Express: the routes for the button, the callback, webhooks, orders and metrics.

import { createServer } from 'node:http';
import express from 'express';
import { isSameSite, messageOf, queryOf, statusOf } from './answers.js';
import { page } from './page.js';
import { addInTime } from './queue.js';
import { Sessions } from './sessions.js';

/** Listens on this port. Returns the address, and a function that ends the server. */
export async function listen(port, platform) {
  const server = createServer(createApp(platform));
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeIdleConnections();
    });
  return { address: `http://127.0.0.1:${server.address().port}`, close };
}

/** Returns the app. `consentPage` may change the link to TikTok Shop's consent page, for a fake. */
function createApp({ host, tenant, log, metrics, queue, consentPage }) {
  const app = express();
  const sessions = new Sessions();
  const session = (request, response) =>
    sessions.of(request.headers.cookie, (set) => response.append('set-cookie', set));
  app.disable('x-powered-by');

  app.get('/', async (request, response) => {
    const { customer } = session(request, response);
    const [connections, shops] = await Promise.all([
      host.listConnections({ tenant, customer }),
      host.listShops({ tenant, customer }),
    ]);
    response.type('html').send(page({ connections, shops, message: request.query.message }));
  });

  app.post('/connect', sameSite, async (request, response) => {
    const { customer, browser } = session(request, response);
    const { url } = await host.beginConsent({ tenant, customer, browser });
    response.redirect(303, consentPage(url.expose()));
  });

  app.get('/callback', async (request, response) => {
    const { browser } = session(request, response);
    let message = 'connected';
    try {
      await host.finishConsent({ tenant, browser, query: queryOf(request.url) });
    } catch (error) {
      log.warn({ code: error.code, action: error.action }, 'a consent was not finished');
      message = messageOf(error);
    }
    response.redirect(303, `/?message=${message}`);
  });

  app.post('/disconnect', sameSite, async (request, response) => {
    const { customer } = session(request, response);
    await host.disconnect({ tenant, customer, tiktokAccess: 'keep' });
    response.redirect(303, '/');
  });

  app.get('/shops/:shop/orders', async (request, response) => {
    const { customer } = session(request, response);
    const { shop } = request.params;
    const search = { method: 'POST', path: '/order/202309/orders/search', query: { page_size: 20 }, body: {} };
    const answer = await host.call({ tenant, customer, shop, ...search });
    response
      .status(answer.isSuccess ? 200 : 502)
      .type('json')
      .send(answer.body);
  });

  // The signature covers the bytes of the body, so nothing may parse it before.
  const raw = express.raw({ type: () => true, limit: '256kb' });
  app.post('/webhooks/:tenant', raw, async (request, response) => {
    const { authorization } = request.headers;
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const delivery = { tenant: request.params.tenant, authorization, body };
    const reply = await host.acceptWebhook(delivery, (webhook) => addInTime(queue, webhook));
    if (reply.error) log.error({ reply: reply.reply, err: reply.error }, 'a webhook was not handled');
    response.status(reply.status).end();
  });

  app.get('/metrics', async (_request, response) => {
    response.type(metrics.contentType).send(await metrics.metrics());
  });

  // Express knows an error handler by its four parameters.
  app.use((error, _request, response, _next) => {
    log.error({ code: error.code, action: error.action, err: error }, 'a request failed');
    if (error.retryAfterMs) response.set('retry-after', Math.ceil(error.retryAfterMs / 1000));
    response.status(statusOf(error)).type('text').send('This did not work.');
  });
  return app;
}

function sameSite(request, response, next) {
  if (isSameSite(request.headers)) next();
  else response.status(403).end();
}
