// A key provider in JavaScript: it keeps host keys in the memory of this process. A real one asks a key service.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { HostKeyMismatch, HostKeyUnknown } from 'tiktok-shop-connector';

const NONCE = 12;
const TAG = 16;

/** One host key for all tenants. */
export class MemoryKeys {
  #keys = new Map();
  #current;
  /** The data keys that were seen, which must not appear in logs and errors. */
  seen = new Set();

  constructor() {
    this.promote('host-1');
  }

  /** Makes this host key the current one. Draws it if it does not exist. */
  promote(id) {
    if (!this.#keys.has(id)) this.#keys.set(id, randomBytes(32));
    this.#current = id;
  }

  remove(id) {
    this.#keys.delete(id);
  }

  current() {
    return this.#current;
  }

  async wrap({ dataKey, context }) {
    return this.wrapWith(await this.current(), dataKey, context);
  }

  async unwrap({ wrapped, context }) {
    const { hostKey, bytes } = wrapped;
    const key = this.#keys.get(hostKey);
    if (!key) throw new HostKeyUnknown();
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE)).setAAD(context);
    decipher.setAuthTag(bytes.subarray(-TAG));
    let dataKey;
    try {
      dataKey = Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]);
    } catch {
      throw new HostKeyMismatch();
    }
    this.seen.add(dataKey.toString('hex'));
    return dataKey;
  }

  wrapWith(hostKey, dataKey, context) {
    this.seen.add(dataKey.toString('hex'));
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(hostKey), nonce).setAAD(context);
    const sealed = [nonce, cipher.update(dataKey), cipher.final()];
    return { hostKey, bytes: Buffer.concat([...sealed, cipher.getAuthTag()]) };
  }
}

/** A host key for each tenant. */
export class TenantKeys extends MemoryKeys {
  #tenants = new Map();
  destroyed = [];

  current() {
    return 'tenants.*';
  }

  currentFor({ tenant }) {
    const id = this.#tenants.get(tenant);
    if (!id) throw new HostKeyUnknown();
    return id;
  }

  async wrap({ tenant, dataKey, context }) {
    const id = `tenants.${tenant}:v1`;
    this.promote(id);
    this.#tenants.set(tenant, id);
    return this.wrapWith(id, dataKey, context);
  }

  destroy({ tenant, wrappedBy }) {
    this.destroyed.push({ tenant, wrappedBy });
    const id = this.#tenants.get(tenant);
    if (!id) return { outcome: 'destroyed' };
    if (!wrappedBy.includes(id)) return { outcome: 'not-allowed', key: id, next: 'ask the administrator' };
    this.remove(id);
    this.#tenants.delete(tenant);
    return { outcome: 'destroyed' };
  }
}
