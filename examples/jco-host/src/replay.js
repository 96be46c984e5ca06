// Replays the transcripts of a folder with the component: answers each import with the answer in the transcript, writes
// a transcript of its own, and compares the two. There is no clock, no randomness and no network.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { instantiate } from '../generated/connector.js';
import { coreModule } from './host.js';
import { Call, Crash, Differs, read } from './transcript.js';

const CHUNK = 65_536n;
const FOLDER =
  process.env.TIKTOK_SHOP_TEST_TRANSCRIPTS ?? fileURLToPath(new URL('../../../target/transcripts', import.meta.url));

/** The imports of one instance, answered by the transcript of one call. */
function imports(call) {
  // Returns a function whose result has two cases in the WIT package: it throws the second case.
  const fallible = (name) => (...values) => {
    const { ok, err } = call.answer(name, values);
    if (err) throw read(err);
    return read(ok);
  };
  const storage = ['accounts', 'list', 'load', 'owners', 'swap'];
  return {
    'tiktok-shop:connector/app-credentials': {
      apps: fallible('app-credentials.apps'),
      ofApp: fallible('app-credentials.of-app'),
    },
    'tiktok-shop:connector/storage': Object.fromEntries(storage.map((name) => [name, fallible(`storage.${name}`)])),
    'wasi:clocks/monotonic-clock': { now: () => BigInt(call.answer('monotonic-clock.now', [])) },
    'wasi:clocks/wall-clock': { now: () => read(call.answer('wall-clock.now', [])) },
    'wasi:random/random': { getRandomU64: () => BigInt(call.answer('random.get-random-u64', [])) },
    ...http(call),
  };
}

/** The part of `wasi:http` and `wasi:io` that the component uses. A request is made when its answer is asked for. */
function http(call) {
  class Pollable {
    block() {}
  }
  class Fields {
    static fromList(entries) {
      return Object.assign(new Fields(), { list: entries });
    }
    entries() {
      return this.list;
    }
  }
  class RequestOptions {
    setConnectTimeout() {}
  }
  class OutputStream {
    checkWrite() {
      return CHUNK;
    }
    write(part) {
      this.request.parts.push(part);
    }
    flush() {}
    subscribe() {
      return new Pollable();
    }
  }
  class OutgoingBody {
    static finish() {}
    write() {
      return Object.assign(new OutputStream(), { request: this.request });
    }
  }
  class OutgoingRequest {
    parts = [];
    constructor(headers) {
      this.headers = headers.list;
    }
    setMethod(method) {
      this.method = method.tag;
    }
    setScheme(scheme) {
      assert.equal(scheme.tag, 'HTTPS');
    }
    setAuthority(authority) {
      this.authority = authority;
    }
    setPathWithQuery(pathWithQuery) {
      this.pathWithQuery = pathWithQuery;
    }
    body() {
      return Object.assign(new OutgoingBody(), { request: this });
    }
  }
  class InputStream {
    blockingRead(length) {
      if (this.rest.length === 0) throw { tag: 'closed' };
      const part = this.rest.subarray(0, Number(length));
      this.rest = this.rest.subarray(part.length);
      return part;
    }
  }
  class IncomingBody {
    stream() {
      return Object.assign(new InputStream(), { rest: this.bytes });
    }
  }
  class IncomingResponse {
    status() {
      return this.answer.status;
    }
    headers() {
      return Fields.fromList(this.answer.headers.map(([name, value]) => [name, new TextEncoder().encode(value)]));
    }
    consume() {
      return Object.assign(new IncomingBody(), { bytes: this.answer.body });
    }
  }
  class FutureIncomingResponse {
    subscribe() {
      return new Pollable();
    }
    get() {
      const { method, authority, pathWithQuery, headers, parts } = this.request;
      const named = headers.map(([name, value]) => [name, new TextDecoder().decode(value)]);
      const request = { method, authority, pathWithQuery, headers: named, body: new Uint8Array(Buffer.concat(parts)) };
      const { ok, err } = call.answer('http', [request]);
      const response = ok && Object.assign(new IncomingResponse(), { answer: read(ok) });
      return { tag: 'ok', val: ok ? { tag: 'ok', val: response } : { tag: 'err', val: read(err) } };
    }
  }
  const handle = (request) => Object.assign(new FutureIncomingResponse(), { request });
  return {
    'wasi:http/outgoing-handler': { handle },
    'wasi:http/types': {
      Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, OutgoingBody, OutgoingRequest, RequestOptions,
    },
    'wasi:io/error': { Error: class {} },
    'wasi:io/poll': { Pollable },
    'wasi:io/streams': { InputStream, OutputStream },
  };
}

/** Replays one call in a fresh instance. Returns the lines that it wrote. */
function replay(lines) {
  const call = new Call(lines);
  const { name, values } = call.begin();
  const { connector } = instantiate(coreModule, imports(call));
  let ended;
  try {
    ended = ['ok', connector[name](...values)];
  } catch (thrown) {
    if (thrown instanceof Crash) return call.written;
    if (!thrown?.payload?.tag) throw thrown;
    ended = ['err', thrown.payload];
  }
  call.end(...ended);
  return call.written;
}

/** Returns the lines of each call. A call begins with the line of its export. */
function calls(transcript) {
  const found = [];
  for (const line of transcript.trimEnd().split('\n')) {
    if (line.startsWith('{"export":')) found.push([]);
    found.at(-1).push(line);
  }
  return found;
}

const files = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl')) : [];
if (files.length === 0) {
  const command = 'cargo xtask simulate --component --seeds 10 --transcripts target/transcripts';
  console.log(`the transcripts are missing: run \`${command}\``);
  process.exit(1);
}
let failed = 0;
for (const file of files) {
  try {
    const transcript = readFileSync(`${FOLDER}/${file}`, 'utf8');
    const written = calls(transcript).flatMap(replay).map((line) => `${line}\n`).join('');
    if (written !== transcript) throw new Differs('a call ended before its transcript');
  } catch (thrown) {
    failed += 1;
    console.log(`FAILED  ${file}: ${thrown instanceof Differs ? thrown.message : thrown.stack}`);
  }
}
console.log(`jco host: ${files.length - failed} transcripts passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
