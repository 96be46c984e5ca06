// What people use: one signed call with fetch and node:crypto, on the connections that fetch keeps.
// node call.mjs BASE APP_KEY APP_SECRET TOKEN CIPHER PATH BODY CALLS prints the median time of a call in microseconds.
import { createHmac } from 'node:crypto';

const [base, appKey, appSecret, token, cipher, path, body, calls] = process.argv.slice(2);

// The signature: HMAC-SHA256 over secret, path, the parameters in the order of their names, body, secret.
function sign(parameters) {
  const sorted = Object.keys(parameters).sort().map((name) => name + parameters[name]).join('');
  return createHmac('sha256', appSecret).update(appSecret + path + sorted + body + appSecret).digest('hex');
}

async function call() {
  const parameters = {
    app_key: appKey,
    page_size: '20',
    shop_cipher: cipher,
    timestamp: String(Math.floor(Date.now() / 1000)),
  };
  const query = new URLSearchParams({ ...parameters, sign: sign(parameters) });
  const answer = await fetch(`${base}${path}?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-tts-access-token': token },
    body,
  });
  const envelope = await answer.json();
  if (envelope.code !== 0) throw new Error(`code ${envelope.code}`);
}

const times = [];
for (let warm = 0; warm < 500; warm += 1) await call();
for (let number = 0; number < Number(calls); number += 1) {
  const began = process.hrtime.bigint();
  await call();
  times.push(Number(process.hrtime.bigint() - began) / 1000);
}
times.sort((one, other) => one - other);
console.log(times[Math.ceil(times.length / 2) - 1]);
