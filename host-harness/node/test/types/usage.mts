// How a platform in TypeScript uses the package. The test compiles it with `strict`, and does not run it.

import pino from 'pino';
import {
  type Connection,
  Host,
  HostKeyUnknown,
  type HostKeys,
  type HostOptions,
  type KeyProvider,
  ReauthorizeError,
  RetryAfterError,
  Secret,
  type Storage,
  TikTokShopError,
  checkStorage,
  logTo,
  withRetries,
} from 'tiktok-shop-connector';

const options: HostOptions = {
  storage: 'sqlite:connections.sqlite',
  tables: 'create',
  keys: { file: 'host-keys' },
  apps: async (tenant) => [{ appKey: tenant, appSecret: new Secret('a secret') }],
  onRequest: ({ operation, outcome, durationMs }) => console.log(operation, outcome, durationMs.toFixed(1)),
};

export const secretStorage: HostOptions = {
  ...options,
  storage: new Secret('postgres://db.example/shops'),
  limits: { tenantPercent: 100 },
  deadlines: { requestMs: 20_000 },
};

const provider: KeyProvider = {
  current: () => 'host-1',
  wrap: async ({ dataKey, context }) => ({ hostKey: 'host-1', bytes: Buffer.concat([dataKey, context]) }),
  unwrap: ({ wrapped }) => {
    if (wrapped.hostKey !== 'host-1') throw new HostKeyUnknown();
    return wrapped.bytes;
  },
};
const address = 'https://bao.internal:8200';
export const keys: HostKeys[] = [
  provider,
  { ...provider, currentFor: ({ tenant }) => tenant, destroy: () => ({ outcome: 'destroyed' }) },
  { keyService: { address, auth: 'approle', roleId: 'connector', secretId: new Secret('a secret') } },
  { keyService: { address, auth: 'kubernetes', role: 'connector', prefix: 'shop', caFile: 'ca.pem' } },
  // @ts-expect-error: this way to authenticate needs a token
  { keyService: { address, auth: 'token' } },
  // @ts-expect-error: a provider has a function `unwrap`
  { current: provider.current, wrap: provider.wrap },
];
export const moved: HostOptions = { ...options, keys: provider, earlierKeys: { file: 'host-keys' } };

export async function platform(storage: Storage): Promise<Date | null> {
  await using host = await Host.open(options);
  const named = { tenant: 'acme', customer: 'customer-7' };
  const { url } = await host.beginConsent({ ...named, browser: 'a session secret', shopPolicy: 'exactly-one' });
  const link: string = url.expose();
  const connection: Connection = await host.finishConsent({ tenant: 'acme', browser: link, query: 'code=1' });
  const [shop] = connection.shops;
  try {
    const request = { ...named, shop: shop?.id ?? '', method: 'POST', path: '/order/202309/orders/search' } as const;
    const answer = await withRetries(60_000, () => host.call({ ...request, query: { page_size: 20 }, body: {} }));
    const body: unknown = answer.json();
    console.log(body, answer.body.byteLength);
  } catch (error) {
    if (error instanceof RetryAfterError) return new Date(Date.now() + error.retryAfterMs);
    if (error instanceof ReauthorizeError) console.log(error.action satisfies 'reauthorize');
    if (error instanceof TikTokShopError) console.log(error.code, error.tiktokRequestId?.length);
  }
  const reply = await host.acceptWebhook({ tenant: 'acme', authorization: undefined, body: Buffer.alloc(0) }, (one) => {
    console.log(
      one.eventType,
      one.owners.filter(({ mayUse }) => mayUse),
    );
  });
  console.log(reply.status, await checkStorage(storage));
  logTo(pino());
  await host.call({ ...named, method: 'GET', path: '/', query: new URLSearchParams('a=1') });
  await host.call({ ...named, method: 'GET', path: '/', query: { page_size: 20n, page_token: undefined } });
  const [app] = await host.apps({ tenant: 'acme' });
  console.log(app?.length, (await host.checkHostKeys()).unusable[0]?.reason);
  const swept = await host.sweep({ concurrency: 4 }, { signal: AbortSignal.timeout(60_000) });
  return swept.notRefreshed[0]?.until ?? connection.endsAt;
}

export async function takenOver(old: Host, host: Host): Promise<Connection> {
  const named = { tenant: 'acme', customer: 'customer-7' };
  return host.importGrant({ ...named, ...(await old.exportGrant(named)) });
}

export async function mistakes(host: Host): Promise<void> {
  // @ts-expect-error: the customer is missing
  await host.refresh({ tenant: 'acme' });
  // @ts-expect-error: an id is a text
  await host.listShops({ tenant: 'acme', customer: 7 });
  // @ts-expect-error: a shop or an account, and not both
  await host.disconnect({ tenant: 'acme', customer: 'c', shop: '1', account: 'a', tiktokAccess: 'keep' });
  // @ts-expect-error: a shop without a value must not mean all connections
  await host.disconnect({ tenant: 'acme', customer: 'c', shop: undefined, tiktokAccess: 'revoke' });
  const call = { tenant: 'acme', customer: 'c', method: 'GET', path: '/' } as const;
  // @ts-expect-error: a shop without a value must not mean the whole account
  await host.call({ ...call, shop: undefined });
  // @ts-expect-error: a missing actor must not mean the platform itself
  host.actingAs(undefined);
  // @ts-expect-error: a query is no text
  await host.call({ ...call, query: 'page_size=20' });
  // @ts-expect-error: a value of a query is not null
  await host.call({ ...call, query: { page_token: null } });
  // @ts-expect-error: the body of a webhook is bytes
  await host.acceptWebhook({ tenant: 'acme', authorization: null, body: { type: 5 } }, () => {});
  // @ts-expect-error: a host is opened with `Host.open`
  new Host();
  // @ts-expect-error: an answer has no token
  console.log((await host.listConnections({ tenant: 'acme', customer: 'c' }))[0]?.token);
}
