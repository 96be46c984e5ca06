// Sends the component's HTTP requests with the shim of jco: only to TikTok Shop's two servers, and under deadlines. The
// shim follows no redirect.

import { outgoingHandler, types } from '@bytecodealliance/preview2-shim/http';
import { error } from '@bytecodealliance/preview2-shim/io';

const SERVERS = ['auth.tiktok-shops.com', 'open-api.tiktokglobalshop.com'];
const METHODS = ['get', 'post', 'put', 'delete'];

export class Egress {
  /**
   * `standIn` is the address of a fake TikTok Shop, for example `127.0.0.1:4010`. It gets the requests for both servers.
   * `requestMs` must be so short that a request ends in less than 30 s: see `wit/storage.wit`.
   */
  constructor({ standIn, requestMs = 12_000 } = {}) {
    this.standIn = standIn;
    this.requestMs = requestMs;
  }

  handle(request) {
    const isHttps = request.scheme()?.tag === 'HTTPS';
    if (!isHttps || !SERVERS.includes(request.authority()) || !METHODS.includes(request.method().tag)) {
      throw { tag: 'HTTP-request-denied' };
    }
    if (this.standIn) {
      request.setScheme({ tag: 'HTTP' });
      request.setAuthority(this.standIn);
    }
    // The shim has no time-out unless the options contain one. Each of its time-outs is a time without any byte. The
    // time-out for connecting goes on until the head of the answer has arrived: see `docs/hosts.md`.
    const options = new types.RequestOptions();
    const nanoseconds = BigInt(this.requestMs) * 1_000_000n;
    options.setConnectTimeout(nanoseconds);
    options.setFirstByteTimeout(nanoseconds);
    options.setBetweenBytesTimeout(nanoseconds);
    return endsAt(performance.now() + this.requestMs, outgoingHandler.handle(request, options));
  }
}

/** Lets the reads of the body fail after a point in time, so that an answer that trickles in ends, too. */
function endsAt(deadline, future) {
  return wrap(future, 'get', (result) => {
    if (result?.val?.tag === 'ok') {
      wrap(result.val.val, 'consume', (body) =>
        wrap(body, 'stream', (stream) =>
          wrap(stream, 'blockingRead', (chunk) => {
            if (performance.now() < deadline) return chunk;
            throw { tag: 'last-operation-failed', val: new error.Error('the deadline of the request has passed') };
          }),
        ),
      );
    }
    return result;
  });
}

function wrap(object, method, change) {
  const original = object[method].bind(object);
  object[method] = (...values) => change(original(...values));
  return object;
}
