// Measures the package that is installed beside this script. `cargo xtask bench` starts it.
//
// node measure.mjs BASE APP_KEY APP_SECRET PATH BODY
//
// Opens a host that sends its requests to BASE, connects a customer, and prints a line when it is ready. Then it reads
// lines from standard input. Each line is one round, and the script prints the result of the round:
//
// call CALLS: makes this number of signed calls, one after the other. The result is their median time in microseconds.
// nothing CALLS: the same with requests that do nothing. The result is the time of the package without the host's work.
// event-loop CALLS IN_FLIGHT: makes this number of signed calls, and always has IN_FLIGHT of them in flight. The result
// is the 99th percentile of the delay of the event loop, in milliseconds.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { Host } from 'tiktok-shop-connector';

const [base, appKey, appSecret, path, body] = process.argv.slice(2);
const named = { tenant: 'acme', customer: 'customer-7' };

const apps = [{ tenant: named.tenant, appKey, appSecret }];
const host = await Host.open({ storage: 'memory:', keys: 'drawn', apps, fake: base, limits: { tenantPercent: 100 } });
const { shops } = await host.connect({ ...named, code: 'a-code-of-the-bench' });

async function call() {
  const answer = await host.call({ ...named, shop: shops[0].id, method: 'POST', path, query: { page_size: 20 }, body });
  if (answer.json().code !== 0) throw new Error(`code ${answer.code}`);
}

async function medianTime(calls, make) {
  const times = [];
  for (let number = 0; number < calls; number += 1) {
    const began = process.hrtime.bigint();
    await make();
    times.push(Number(process.hrtime.bigint() - began) / 1000);
  }
  times.sort((one, other) => one - other);
  return times[Math.ceil(calls / 2) - 1];
}

async function lateness(calls, inFlight) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let left = calls;
  const caller = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  delay.enable();
  await Promise.all(Array.from({ length: inFlight }, caller));
  delay.disable();
  // The monitor measures the whole time between two turns of its timer, and the timer waits for one millisecond.
  return delay.percentile(99) / 1e6 - 1;
}

const measurements = {
  call: (calls) => medianTime(calls, call),
  nothing: (calls) => medianTime(calls, () => host.advanceClock({ seconds: 0 })),
  'event-loop': lateness,
};

console.log('"ready"');
for await (const line of createInterface(process.stdin)) {
  const [what, ...numbers] = line.split(' ');
  console.log(await measurements[what](...numbers.map(Number)));
}
await host.close();
