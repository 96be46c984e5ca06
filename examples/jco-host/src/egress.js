// Sends the component's HTTP requests with the shim of jco: only to TikTok Shop's two servers, and under deadlines. The
// shim follows no redirect.

import { clocks, http, io } from '@bytecodealliance/preview2-shim';

const SERVERS = ['auth.tiktok-shops.com', 'open-api.tiktokglobalshop.com'];
const METHODS = ['get', 'post', 'put', 'delete'];

export class Egress {
  /**
   * `standIn` is the address of a fake TikTok Shop, such as `127.0.0.1:4010`. It gets the requests for both servers.
   * `requestMs` limits a whole request, and must be less than 30 s: see `wit/storage.wit`. `silenceMs` limits the time
   * without any byte.
   */
  constructor({ standIn, requestMs = 25_000, silenceMs = requestMs } = {}) {
    this.standIn = standIn;
    this.requestMs = requestMs;
    this.silenceMs = silenceMs;
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
    // Without options, the shim waits without end. Each of its time-outs is a time without any byte. The time-out for
    // connecting goes on counting until the head of the answer has arrived: see `docs/hosts.md`.
    const options = new http.types.RequestOptions();
    const nanoseconds = BigInt(this.silenceMs) * 1_000_000n;
    options.setConnectTimeout(nanoseconds);
    options.setFirstByteTimeout(nanoseconds);
    options.setBetweenBytesTimeout(nanoseconds);
    return limited(http.outgoingHandler.handle(request, options), new Deadline(this.requestMs));
  }
}

/** The end of a whole request. The shim has no such deadline, so an answer that trickles in would never end. */
class Deadline {
  constructor(ms) {
    this.ends = performance.now() + ms;
  }

  /** Waits for `pollable` or the deadline. Returns whether `pollable` became ready. */
  wait(pollable) {
    const left = Math.max(Math.round(this.ends - performance.now()), 0);
    const timer = clocks.monotonicClock.subscribeDuration(BigInt(left) * 1_000_000n);
    const ready = io.poll.poll([pollable, timer]);
    timer[Symbol.dispose]();
    pollable[Symbol.dispose]();
    return ready.includes(0);
  }
}

/** Puts the deadline into the objects of the shim: the future answer, and the stream of its body. */
function limited(future, deadline) {
  return replaced(future, 'get', (get) => {
    if (!deadline.wait(future.subscribe())) {
      return { tag: 'ok', val: { tag: 'err', val: { tag: 'connection-read-timeout' } } };
    }
    const result = get();
    if (result.val.tag === 'ok') {
      const limitedBody = (body) => replaced(body, 'stream', (stream) => limitedStream(stream(), deadline));
      replaced(result.val.val, 'consume', (consume) => limitedBody(consume()));
    }
    return result;
  });
}

function limitedStream(input, deadline) {
  return replaced(input, 'blockingRead', (blockingRead, length) => {
    if (deadline.wait(input.subscribe())) return blockingRead(length);
    throw { tag: 'last-operation-failed', val: new io.error.Error('the deadline of the request has passed') };
  });
}

/** Replaces a method of an object. `method` gets the original method before its arguments. */
function replaced(object, name, method) {
  const original = object[name].bind(object);
  object[name] = (...values) => method(original, ...values);
  return object;
}
