// The sessions of signed-in customers. A real platform has its own sign-in and its own sessions.

import { randomBytes } from 'node:crypto';
import { Secret } from 'tiktok-shop-connector';

const NAME = 'session';

/** Keeps sessions in memory. Each visitor is signed in as a new customer. */
export class Sessions {
  #customers = new Map();

  /** Returns the customer of this request, and the secret of the session. Signs a new visitor in. */
  of(request, response) {
    let value = cookie(request);
    if (!this.#customers.has(value)) {
      value = randomBytes(32).toString('hex');
      this.#customers.set(value, `customer-${this.#customers.size + 1}`);
      // The browser must send the cookie when it comes back from TikTok Shop, so `SameSite` is `lax`. Over https, set
      // `secure`, too.
      response.cookie(NAME, value, { httpOnly: true, sameSite: 'lax' });
    }
    return { customer: this.#customers.get(value), browser: new Secret(value) };
  }
}

function cookie(request) {
  const cookies = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='));
  return cookies.find(([name]) => name === NAME)?.[1];
}
