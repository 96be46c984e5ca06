// The parts that keep consents, pending installs and handled webhooks.

import { StorageRefused } from 'tiktok-shop-connector';
import { bytes, number } from './database.js';

const AGE = 'extract(epoch FROM clock_timestamp() - at) * 1000 AS age_ms';

export const consents = (database) => {
  async function deleteExpired() {
    const old = (table, age) => `DELETE FROM ${table} WHERE at < clock_timestamp() - interval '${age}'`;
    await database.change(old('states', '1 hour'), []);
    await database.change(old('installs', '30 minutes'), []);
  }
  const ofState = ({ tenant, state }) => [bytes(tenant), state];
  const ofInstall = ({ tenant, install }) => [bytes(tenant), install];

  return {
    deleteExpired,

    async putState({ tenant, state, consent }) {
      await deleteExpired();
      const inserted = `INSERT INTO states (tenant, state, consent, at) VALUES ($1, $2, $3, clock_timestamp())
        ON CONFLICT DO NOTHING`;
      const count = await database.change(inserted, [bytes(tenant), state, consent]);
      if (count === 0) throw new StorageRefused('this state is already stored');
    },

    async loadState(named) {
      const loaded = `SELECT consent, used, ${AGE} FROM states WHERE tenant = $1 AND state = $2`;
      const [stored] = await database.all(loaded, ofState(named));
      return stored ? { consent: stored.consent, used: stored.used, ageMs: number(stored.age_ms) } : null;
    },

    async useState(named) {
      const used = 'UPDATE states SET used = true WHERE tenant = $1 AND state = $2 AND NOT used';
      return (await database.change(used, ofState(named))) > 0;
    },

    async releaseState(named) {
      await database.change('UPDATE states SET used = false WHERE tenant = $1 AND state = $2', ofState(named));
    },

    async putInstall({ tenant, install, browser, sealed }) {
      await deleteExpired();
      const inserted = 'INSERT INTO installs VALUES ($1, $2, $3, $4, clock_timestamp()) ON CONFLICT DO NOTHING';
      const count = await database.change(inserted, [bytes(tenant), install, browser, sealed]);
      if (count === 0) throw new StorageRefused('this install is already stored');
    },

    async loadInstall(named) {
      const loaded = `SELECT browser, sealed, ${AGE} FROM installs WHERE tenant = $1 AND install = $2`;
      const [stored] = await database.all(loaded, ofInstall(named));
      return stored ? { browser: stored.browser, sealed: stored.sealed, ageMs: number(stored.age_ms) } : null;
    },

    async closeInstall(named) {
      await database.change('UPDATE installs SET sealed = NULL WHERE tenant = $1 AND install = $2', ofInstall(named));
    },

    async deleteInstall(named) {
      await database.change('DELETE FROM installs WHERE tenant = $1 AND install = $2', ofInstall(named));
    },

    async knowsWebhook({ tenant, webhook }) {
      const found = 'SELECT 1 FROM webhooks WHERE tenant = $1 AND webhook = $2';
      return (await database.all(found, [bytes(tenant), webhook])).length > 0;
    },

    async rememberWebhook({ tenant, webhook }) {
      const old = `DELETE FROM webhooks WHERE tenant = $1 AND at < clock_timestamp() - interval '3 days'`;
      await database.change(old, [bytes(tenant)]);
      const inserted = 'INSERT INTO webhooks VALUES ($1, $2, clock_timestamp()) ON CONFLICT DO NOTHING';
      await database.change(inserted, [bytes(tenant), webhook]);
    },
  };
};
