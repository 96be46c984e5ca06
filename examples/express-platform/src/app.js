// The routes of the platform: the button, the callback, webhooks, orders, metrics.

import express from 'express';
import { InvalidRequestError, ReauthorizeError, RetryAfterError } from 'tiktok-shop-connector';
import { page } from './page.js';
import { Sessions } from './sessions.js';

/** Returns the app. `consentPage` may change the link to TikTok Shop's consent page, for a fake. */
export function createApp({ host, tenant, log, metrics, queue, consentPage = (link) => link }) {
  const app = express();
  const sessions = new Sessions();
  app.disable('x-powered-by');

  app.get('/', async (request, response) => {
    const { customer } = sessions.of(request, response);
    const [connections, shops] = await Promise.all([
      host.listConnections({ tenant, customer }),
      host.listShops({ tenant, customer }),
    ]);
    response.type('html').send(page({ connections, shops, message: request.query.message }));
  });

  app.post('/connect', sameSite, async (request, response) => {
    const { customer, browser } = sessions.of(request, response);
    const { url } = await host.beginConsent({ tenant, customer, browser });
    response.redirect(303, consentPage(url.expose()));
  });

  app.get('/callback', async (request, response) => {
    const { browser } = sessions.of(request, response);
    // The query must arrive unchanged, so it is not parsed.
    const [, query = ''] = request.url.split(/\?(.*)/s);
    let message = 'connected';
    try {
      await host.finishConsent({ tenant, browser, query });
    } catch (error) {
      log.warn({ code: error.code, action: error.action }, 'a consent was not finished');
      message = messageOf(error);
    }
    response.redirect(303, `/?message=${message}`);
  });

  app.post('/disconnect', sameSite, async (request, response) => {
    const { customer } = sessions.of(request, response);
    await host.disconnect({ tenant, customer, tiktokAccess: 'keep' });
    response.redirect(303, '/');
  });

  app.get('/shops/:shop/orders', async (request, response) => {
    const { customer } = sessions.of(request, response);
    const answer = await host.call({
      tenant,
      customer,
      shop: request.params.shop,
      method: 'POST',
      path: '/order/202309/orders/search',
      query: { page_size: 20 },
      body: {},
    });
    response.status(answer.isSuccess ? 200 : 502).type('json').send(answer.body);
  });

  // The signature covers the bytes of the body, so nothing may parse it before.
  const raw = express.raw({ type: () => true, limit: '256kb' });
  app.post('/webhooks/:tenant', raw, async (request, response) => {
    const { authorization } = request.headers;
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const reply = await host.acceptWebhook({ tenant: request.params.tenant, authorization, body }, (webhook) => {
      const customers = webhook.owners.filter(({ mayUse }) => mayUse).map(({ customer }) => customer);
      queue.push({ type: webhook.eventType, shop: webhook.shop, data: webhook.data, customers });
    });
    if (reply.error) log.error({ reply: reply.reply, error: reply.error }, 'a webhook was not handled');
    response.status(reply.status).end();
  });

  app.get('/metrics', async (_request, response) => {
    response.type(metrics.contentType).send(await metrics.metrics());
  });

  app.use((error, _request, response, _next) => {
    log.error({ code: error.code, action: error.action, error }, 'a request failed');
    if (error instanceof RetryAfterError) response.set('retry-after', Math.ceil(error.retryAfterMs / 1000));
    response.status(statusOf(error)).type('text').send('This did not work.');
  });
  return app;
}

/** Refuses a form that another site has sent. */
function sameSite(request, response, next) {
  const from = request.get('sec-fetch-site');
  if (from === undefined || from === 'same-origin' || from === 'none') next();
  else response.status(403).end();
}

function messageOf(error) {
  if (error.code === 'consent-refused') return 'refused';
  if (error.code === 'other-browser') return 'other-browser';
  return error instanceof ReauthorizeError ? 'start-again' : 'try-again';
}

function statusOf(error) {
  if (error instanceof RetryAfterError) return 503;
  if (error instanceof ReauthorizeError) return 409;
  return error instanceof InvalidRequestError ? 404 : 500;
}
