// The queue of TikTok Shop's events. A real platform has a durable queue.

/** Keeps events in memory, each with the customers who may see it. */
export class Queue {
  events = [];

  add({ eventType, shop, data, owners }) {
    const customers = owners.filter(({ mayUse }) => mayUse).map(({ customer }) => customer);
    this.events.push({ eventType, shop, data, customers });
  }
}
