// The package in a CommonJS module of TypeScript.

import connector = require('tiktok-shop-connector');

export async function shops(options: connector.HostOptions): Promise<string[]> {
  const host = await connector.Host.open(options);
  try {
    return (await host.listShops({ tenant: 'acme', customer: 'customer-7' })).map(({ id }) => id);
  } finally {
    await host.close();
  }
}
