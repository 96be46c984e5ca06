// A host of the TikTok Shop connector on Node.js: runs each call of the component in a fresh instance.

import { readFileSync } from 'node:fs';
import { clocks, http, io, random } from '@bytecodealliance/preview2-shim';
import { instantiate } from '../generated/connector.js';

const modules = new Map();

/** Compiles each core module of the component once. */
export function coreModule(name) {
  if (!modules.has(name)) {
    const bytes = readFileSync(new URL(`../generated/${name}`, import.meta.url));
    modules.set(name, new WebAssembly.Module(bytes));
  }
  return modules.get(name);
}

/** An error of the component. `action` says what to do next, and `failure` has the code for statistics. */
export class ConnectorError extends Error {
  constructor({ tag, val }) {
    const failure = val.failure ?? val;
    super(`${tag}: ${failure.code}: ${failure.detail}`);
    this.action = tag;
    this.afterMs = val.afterMs;
    this.failure = failure;
  }
}

export class Host {
  #imports;

  /** `apps` are the credentials of one tenant, by app key. `now` returns the time of day in milliseconds. */
  constructor({ storage, apps, egress, now = Date.now }) {
    const time = () => ({ seconds: BigInt(Math.floor(now() / 1000)), nanoseconds: Math.floor(now() % 1000) * 1e6 });
    // The code that jco generates expects these names without a version.
    this.#imports = {
      'tiktok-shop:connector/app-credentials': guarded(credentials(apps)),
      'tiktok-shop:connector/storage': guarded(storage),
      'wasi:clocks/monotonic-clock': clocks.monotonicClock,
      'wasi:clocks/wall-clock': { now: time },
      'wasi:http/outgoing-handler': { handle: (request) => egress.handle(request) },
      'wasi:http/types': http.types,
      'wasi:io/error': io.error,
      'wasi:io/poll': io.poll,
      'wasi:io/streams': io.streams,
      'wasi:random/random': random.random,
    };
  }

  /**
   * Calls an export of the component, for example `listShops`.
   *
   * Throws a `ConnectorError`. After every other exception, it is unknown how far the call came.
   */
  call(name, ...values) {
    const { connector } = instantiate(coreModule, this.#imports);
    try {
      return connector[name](...values);
    } catch (thrown) {
      throw thrown?.payload?.tag ? new ConnectorError(thrown.payload) : thrown;
    }
  }
}

/**
 * An exception in an import would end the call between two steps. jco turns only a thrown value that is no `Error` into
 * an error of the function. So an `Error` becomes an error of the storage. Its text may contain what was stored, so
 * only its name is passed on.
 */
function guarded(functions) {
  const guard = (run) => (...values) => {
    try {
      return run(...values);
    } catch (thrown) {
      throw thrown instanceof Error ? { tag: 'unavailable', val: thrown.name } : thrown;
    }
  };
  return Object.fromEntries(Object.entries(functions).map(([name, run]) => [name, guard(run)]));
}

/** `app-credentials`: the apps of the tenant. */
function credentials(apps) {
  return {
    apps: () => Object.keys(apps),
    ofApp: (key) => {
      if (!Object.hasOwn(apps, key)) throw { tag: 'refused', val: 'no such app' };
      return apps[key];
    },
  };
}
