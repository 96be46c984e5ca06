// A time limit for work that nothing else ends.

import { setTimeout as sleep } from 'node:timers/promises';

/** Returns what `work` resolves to. Rejects if it has not ended after this time. The work itself goes on. */
export async function within(milliseconds, work) {
  const ended = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: ended.signal }).then(() => {
    throw new Error(`the work has not ended after ${milliseconds} ms`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    ended.abort();
  }
}
