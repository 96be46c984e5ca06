// The platform on Fastify: the routes for the button, the callback, webhooks, orders and metrics.

import fastify from 'fastify';
import { isSameSite, messageOf, queryOf, statusOf } from './answers.js';
import { page } from './page.js';
import { addInTime } from './queue.js';
import { Sessions } from './sessions.js';

/** Listens on this port. Returns the address, and a function that ends the server. */
export async function listen(port, platform) {
  const app = createApp(platform);
  const address = await app.listen({ port, host: '127.0.0.1' });
  return { address, close: () => app.close() };
}

/** Returns the app. `consentPage` may change the link to TikTok Shop's consent page, for a fake. */
function createApp({ host, tenant, log, metrics, queue, consentPage }) {
  const app = fastify({ bodyLimit: 256 * 1024, forceCloseConnections: 'idle' });
  const sessions = new Sessions();
  const session = (request, reply) => sessions.of(request.headers.cookie, (set) => reply.header('set-cookie', set));
  const sameSite = async (request, reply) => isSameSite(request.headers) || reply.code(403).send();

  // The signature of a webhook covers the bytes of its body, so nothing parses a body.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.get('/', async (request, reply) => {
    const { customer } = session(request, reply);
    const [connections, shops] = await Promise.all([
      host.listConnections({ tenant, customer }),
      host.listShops({ tenant, customer }),
    ]);
    return reply.type('text/html; charset=utf-8').send(page({ connections, shops, message: request.query.message }));
  });

  app.post('/connect', { preHandler: sameSite }, async (request, reply) => {
    const { customer, browser } = session(request, reply);
    const { url } = await host.beginConsent({ tenant, customer, browser });
    return reply.redirect(consentPage(url.expose()), 303);
  });

  app.get('/callback', async (request, reply) => {
    const { browser } = session(request, reply);
    let message = 'connected';
    try {
      await host.finishConsent({ tenant, browser, query: queryOf(request.url) });
    } catch (error) {
      log.warn({ code: error.code, action: error.action }, 'a consent was not finished');
      message = messageOf(error);
    }
    return reply.redirect(`/?message=${message}`, 303);
  });

  app.post('/disconnect', { preHandler: sameSite }, async (request, reply) => {
    const { customer } = session(request, reply);
    await host.disconnect({ tenant, customer, tiktokAccess: 'keep' });
    return reply.redirect('/', 303);
  });

  app.get('/shops/:shop/orders', async (request, reply) => {
    const { customer } = session(request, reply);
    const { shop } = request.params;
    const search = { method: 'POST', path: '/order/202309/orders/search', query: { page_size: 20 }, body: {} };
    const answer = await host.call({ tenant, customer, shop, ...search });
    return reply
      .code(answer.isSuccess ? 200 : 502)
      .type('application/json')
      .send(answer.body);
  });

  app.post('/webhooks/:tenant', async (request, reply) => {
    const { authorization } = request.headers;
    const delivery = { tenant: request.params.tenant, authorization, body: request.body ?? Buffer.alloc(0) };
    const handle = (webhook) => addInTime(queue, webhook);
    const { status, reply: what, error } = await host.acceptWebhook(delivery, handle);
    if (error) log.error({ reply: what, err: error }, 'a webhook was not handled');
    return reply.code(status).send();
  });

  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()));

  app.setErrorHandler((error, _request, reply) => {
    log.error({ code: error.code, action: error.action, err: error }, 'a request failed');
    if (error.retryAfterMs) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000));
    return reply.code(statusOf(error)).type('text/plain').send('This did not work.');
  });
  return app;
}
