// A program that platforms use in place of the service: an HTTP server that signs the requests of its clients and
// forwards them, with fetch and node:crypto. It checks no API key, keeps one token in a variable, and passes the answer
// on.
// node forward.mjs BASE APP_KEY APP_SECRET TOKEN CIPHER prints its address, and ends when its standard input ends.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';

const [base, appKey, appSecret, token, cipher] = process.argv.slice(2);

// The signature: HMAC-SHA256 over secret, path, the parameters in the order of their names, body, secret.
function sign(path, parameters, body) {
  const sorted = Object.keys(parameters).sort().map((name) => name + parameters[name]).join('');
  return createHmac('sha256', appSecret).update(appSecret + path + sorted + body + appSecret).digest('hex');
}

async function forward(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const address = new URL(request.url, base);
  const parameters = {
    ...Object.fromEntries(address.searchParams),
    app_key: appKey,
    shop_cipher: cipher,
    timestamp: String(Math.floor(Date.now() / 1000)),
  };
  const query = new URLSearchParams({ ...parameters, sign: sign(address.pathname, parameters, body) });
  const answer = await fetch(`${base}${address.pathname}?${query}`, {
    method: request.method,
    headers: { 'content-type': 'application/json', 'x-tts-access-token': token },
    body,
  });
  return { status: answer.status, type: answer.headers.get('content-type'), body: await answer.text() };
}

const server = createServer((request, response) => {
  forward(request).then(
    ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
    (error) => response.writeHead(502).end(String(error)),
  );
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ listen: `127.0.0.1:${server.address().port}` })));
process.stdin.resume().on('end', () => process.exit());
