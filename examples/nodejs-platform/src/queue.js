// The queue of TikTok Shop's events. A real platform has a durable queue.

import { within } from './within.js';

/** The time in which the queue must accept an event. The host waits for it, also when it is closed. */
const LIMIT_MS = 5_000;

/** Keeps events in memory, each with the customers who may see it. */
export class Queue {
  events = [];

  add({ eventType, shop, data, owners }) {
    const customers = owners.filter(({ mayUse }) => mayUse).map(({ customer }) => customer);
    this.events.push({ eventType, shop, data, customers });
  }
}

/** Adds an event. Rejects if the queue does not accept it in time, so TikTok Shop sends it again. */
export function addInTime(queue, event) {
  return within(LIMIT_MS, queue.add(event));
}
