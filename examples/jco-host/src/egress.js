// Sends the component's HTTP requests with the shim of jco: only to TikTok Shop's two servers, and under deadlines. The
// shim follows no redirect.

import { monotonicClock } from '@bytecodealliance/preview2-shim/clocks';
import { outgoingHandler, types } from '@bytecodealliance/preview2-shim/http';
import { error, poll } from '@bytecodealliance/preview2-shim/io';

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
    const options = new types.RequestOptions();
    const nanoseconds = BigInt(this.silenceMs) * 1_000_000n;
    options.setConnectTimeout(nanoseconds);
    options.setFirstByteTimeout(nanoseconds);
    options.setBetweenBytesTimeout(nanoseconds);
    return limited(outgoingHandler.handle(request, options), new Deadline(this.requestMs));
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
    const timer = monotonicClock.subscribeDuration(BigInt(left) * 1_000_000n);
    const ready = poll.poll([pollable, timer]);
    timer[Symbol.dispose]();
    pollable[Symbol.dispose]();
    return ready.includes(0);
  }
}

/** Puts the deadline into the objects of the shim: the future answer, and the stream of its body. */
function limited(future, deadline) {
  const get = future.get.bind(future);
  future.get = () => {
    if (!deadline.wait(future.subscribe())) {
      return { tag: 'ok', val: { tag: 'err', val: { tag: 'connection-read-timeout' } } };
    }
    const result = get();
    if (result.val.tag === 'ok') limitBody(result.val.val, deadline);
    return result;
  };
  return future;
}

function limitBody(response, deadline) {
  const consume = response.consume.bind(response);
  response.consume = () => {
    const body = consume();
    const stream = body.stream.bind(body);
    body.stream = () => {
      const input = stream();
      const blockingRead = input.blockingRead.bind(input);
      input.blockingRead = (length) => {
        if (deadline.wait(input.subscribe())) return blockingRead(length);
        throw { tag: 'last-operation-failed', val: new error.Error('the deadline of the request has passed') };
      };
      return input;
    };
    return body;
  };
}
