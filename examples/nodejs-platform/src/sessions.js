// The sessions of signed-in customers. A real platform has its own sign-in and its own sessions.

import { randomBytes } from 'node:crypto';
import { Secret } from 'tiktok-shop-connector';

const NAME = 'session';

/** Keeps sessions in memory. Each visitor is signed in as a new customer. */
export class Sessions {
  #customers = new Map();

  /** Returns the customer and the secret of the session with these cookies. Signs a new visitor in with `setCookie`. */
  of(cookies, setCookie) {
    let value = find(cookies ?? '');
    if (!this.#customers.has(value)) {
      value = randomBytes(32).toString('hex');
      this.#customers.set(value, `customer-${this.#customers.size + 1}`);
      // The browser must send the cookie when it comes back from TikTok Shop, so `SameSite` is `Lax`. Over https, add
      // `Secure`.
      setCookie(`${NAME}=${value}; Path=/; HttpOnly; SameSite=Lax`);
    }
    return { customer: this.#customers.get(value), browser: new Secret(value) };
  }
}

function find(cookies) {
  const pairs = cookies.split(';').map((pair) => pair.trim().split('='));
  return pairs.find(([name]) => name === NAME)?.[1];
}
