'use strict';
// The host: opens the addon's host, makes requests, and closes it.

const { addon, component } = require('./addon.cjs');
const { dispatcher } = require('./dispatch.cjs');
const { errorOf } = require('./errors.cjs');
const { functionsOf, isKeyProvider, keyFunctions } = require('./keys.cjs');
const { flushLogs } = require('./logs.cjs');
const { outcomeOf, settle } = require('./outcomes.cjs');
const { Secret } = require('./secret.cjs');
const { isStorage, storageText } = require('./storage.cjs');
const { shown } = require('./thrown.cjs');
const values = require('./values.cjs');
const { guarded } = require('./warnings.cjs');

/** How long `process.exit` waits for requests that have begun. A request for tokens and its save end in this time. */
const EXIT_TIMEOUT_MS = 40_000;

/** The hosts that have requests to finish when the process exits. */
const openHosts = new Set();

/** Ends all hosts at the same time, so that together they wait no longer than one host. Then logs what they did. */
function settleAll() {
  const end = performance.now() + EXIT_TIMEOUT_MS;
  // With a time of 0, `settle` only stops the sweeps of a host. So all sweeps stop before the process waits for a host.
  for (const native of openHosts) native.settle(0);
  for (const native of openHosts) native.settle(Math.max(0, Math.ceil(end - performance.now())));
  flushLogs();
}

/** What the copies of a host share: the host of the addon, and how it ends. */
class Core {
  native = new addon.NativeHost(settle);
  closing = null;

  constructor(onRequest) {
    this.onRequest = onRequest;
  }

  /** Makes a request, and returns its result. `make` gets the number of the request. */
  async request(operation, make) {
    const began = performance.now();
    const outcome = await outcomeOf(make);
    const value = JSON.parse(outcome.text);
    const word = outcome.isOk ? (value?.reply ?? 'ok') : value.action;
    const code = outcome.isOk ? null : value.code;
    this.report({ operation, outcome: word, code, durationMs: performance.now() - began });
    if (!outcome.isOk) throw errorOf(value);
    return { value, body: outcome.body };
  }

  /** Tells the platform about a request that has ended. An error of its function does not change the result. */
  report(ended) {
    if (this.onRequest) guarded('onRequest', () => this.onRequest(ended));
  }
}

/** A host of the connector. Each call makes one request, and its first argument has the names of the request. */
class Host {
  #core;
  #actor;
  #reason;
  /** Whether `actingAs` or `because` returned this host. */
  #isCopy = false;

  constructor(core, actor = null, reason = null) {
    if (!(core instanceof Core)) throw new TypeError('open a host with `await Host.open(options)`');
    this.#core = core;
    this.#actor = actor;
    this.#reason = reason;
  }

  static async open({ storage, keys, apps, onRequest, ...others }) {
    const core = new Core(onRequest);
    const isObject = isStorage(storage);
    const isFunction = typeof apps === 'function';
    const isProvider = isKeyProvider(keys);
    const options = {
      ...others,
      storage: isObject ? 'foreign' : storage,
      keys: isProvider ? { foreign: functionsOf(keys) } : keys,
      apps: isFunction ? null : apps,
    };
    const text = values.argumentsOf(options);
    const called = [
      isObject ? dispatcher(storage, storageText) : undefined,
      isProvider ? dispatcher(keyFunctions(keys)) : undefined,
      isFunction ? dispatcher({ apps: ({ tenant }) => apps(tenant) }, appsText) : undefined,
    ];
    const { value } = await core.request('open', (number) =>
      core.native.open(number, text, component.file, component.sha256, ...called),
    );
    // A storage in JavaScript can't work while the process exits, so the process does not wait for such a host.
    if (!isObject) {
      if (openHosts.size === 0) process.on('exit', settleAll);
      openHosts.add(core.native);
    }
    const host = new Host(core);
    host.plugin = value;
    return host;
  }

  actingAs(actor) {
    return this.#copy(textOf('actingAs', actor), this.#reason);
  }

  because(reason) {
    return this.#copy(this.#actor, textOf('because', reason));
  }

  #copy(actor, reason) {
    const copy = new Host(this.#core, actor, reason);
    copy.plugin = this.plugin;
    copy.#isCopy = true;
    return copy;
  }

  close() {
    const core = this.#core;
    core.closing ??= outcomeOf((number) => core.native.close(number)).then(() => {
      openHosts.delete(core.native);
      if (openHosts.size === 0) process.off('exit', settleAll);
    });
    return core.closing;
  }

  /** Closes the host at the end of `await using`. A copy ends with its block, and the host that it shares goes on. */
  async [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    if (!this.#isCopy) await this.close();
  }

  #perform(operation, named, body, begun = () => {}) {
    const text = values.argumentsOf(named);
    const { native } = this.#core;
    return this.#core.request(operation, (number) => {
      native.perform(number, operation, text, body, this.#actor, this.#reason);
      begun(number);
    });
  }

  /** Makes a request. If the signal is aborted, the caller stops waiting, and the request continues. */
  async #ask(operation, named, { signal } = {}, read = (value) => value, body = undefined) {
    signal?.throwIfAborted();
    const asked = this.#perform(operation, named, body).then((reply) => read(reply.value, reply.body));
    return signal ? abandoned(asked, signal) : asked;
  }

  /** Makes a request that the signal stops: it finishes what has begun, and its result says so. */
  async #askUntilStopped(operation, named, { signal } = {}, read = (value) => value) {
    if (!(signal === undefined || signal === null || signal instanceof EventTarget)) {
      throw new TypeError('signal: give an AbortSignal');
    }
    let stop;
    const asked = this.#perform(operation, named, undefined, (number) => {
      stop = () => this.#core.native.stop(number);
      if (signal?.aborted) stop();
      signal?.addEventListener('abort', stop, { once: true });
    });
    try {
      return read((await asked).value);
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  apps(named, options) {
    return this.#ask('apps', named, options);
  }

  beginConsent(named, options) {
    return this.#ask('begin-consent', named, options, secretUrl);
  }

  finishConsent(named, options) {
    return this.#ask('finish-consent', named, options, values.connection);
  }

  authorizationUrl(named, options) {
    return this.#ask('authorization-url', named, options, secretUrl);
  }

  connect(named, options) {
    return this.#ask('connect', named, options, values.connection);
  }

  async importGrant(named, options) {
    values.checkTimes(named, ['accessTokenEnds', 'refreshTokenEnds']);
    return this.#ask('import-grant', named, options, values.connection);
  }

  exportGrant(named, options) {
    return this.#ask('export-grant', named, options, values.existingGrant);
  }

  beginInstall(named, options) {
    return this.#ask('begin-install', named, options, values.pendingInstall);
  }

  confirmInstall(named, options) {
    return this.#ask('confirm-install', named, options, values.connection);
  }

  cancelInstall(named, options) {
    return this.#ask('cancel-install', named, options);
  }

  refresh(named, options) {
    return this.#ask('refresh', named, options, values.refreshed);
  }

  listShops(named, options) {
    return this.#ask('list-shops', named, options);
  }

  listConnections(named, options) {
    return this.#ask('list-connections', named, options, values.connections);
  }

  leftOut(named, options) {
    return this.#ask('left-out', named, options);
  }

  tenantConnections(named, options) {
    return this.#ask('tenant-connections', named, options, values.connections);
  }

  linkShops(named, options) {
    return this.#ask('link-shops', named, options, values.connection);
  }

  accessToken(named, options) {
    return this.#ask('access-token', named, options, values.validToken);
  }

  async call(given, options) {
    checkTarget(given, CALLS);
    const { query, body, ...named } = given;
    const sent = values.bodyBytes(body);
    const request = { ...named, query: values.pairs(query), hasBody: sent !== null };
    const read = (value, answer) => new values.CallResponse(value, answer);
    return this.#ask('call', request, options, read, sent ?? undefined);
  }

  async sharedConnections(named, options) {
    checkTarget(named, WITHOUT_TARGET);
    return this.#askUntilStopped('shared-connections', named, options);
  }

  async disconnect(named, options) {
    checkTarget(named, WITHOUT_TARGET);
    return this.#ask('disconnect', named, options, values.disconnected);
  }

  async receiveWebhook({ body, ...named }, options) {
    return this.#ask('receive-webhook', withHead(named), options, values.webhook, values.rawBytes(body));
  }

  /** Receives a webhook, and calls `handle` with it unless it was handled before. Never rejects for a bad webhook. */
  async acceptWebhook({ body, ...named }, handle) {
    if (typeof handle !== 'function') throw new TypeError('handle: give a function');
    let failure = null;
    const handler = {
      handle: async (webhook) => {
        try {
          await handle(values.webhook(webhook));
        } catch (thrown) {
          failure = thrown;
          throw thrown;
        }
      },
    };
    const text = values.argumentsOf(withHead(named));
    const sent = values.rawBytes(body);
    const { native } = this.#core;
    const { value } = await this.#core.request('accept-webhook', (number) =>
      native.acceptWebhook(number, text, sent, this.#actor, this.#reason, dispatcher(handler)),
    );
    return { ...value, error: value.error ? errorOf(value.error) : failure };
  }

  events(named, options) {
    return this.#ask('events', named, options, values.events);
  }

  sweep(named = {}, options) {
    return this.#askUntilStopped('sweep', named, options, values.swept);
  }

  keyStatus(options) {
    return this.#ask('key-status', {}, options);
  }

  async checkKeys(options) {
    await this.#ask('check-keys', {}, options);
  }

  checkHostKeys(named = {}, options) {
    return this.#ask('check-host-keys', named, options);
  }

  rotateKeys(options) {
    return this.#ask('rotate-keys', {}, options);
  }

  addHostKey(options) {
    return this.#ask('add-host-key', {}, options);
  }

  async promoteHostKey(named, options) {
    await this.#ask('promote-host-key', named, options);
  }

  async retireHostKey(named, options) {
    await this.#ask('retire-host-key', named, options);
  }

  eraseTenant(named, options) {
    return this.#ask('erase-tenant', named, options);
  }

  /** Moves the clock of a host with a fake forward. For tests. */
  async advanceClock(named) {
    await this.#ask('advance-clock', named);
  }
}

/** Returns a text for the audit trail. If it is missing, the trail would silently name the platform itself. */
function textOf(name, value) {
  if (typeof value !== 'string') throw new TypeError(`${name}: the argument is not a string`);
  return value;
}

const ALL = 'all connections of the customer';
/** What the function concerns if `shop` and `account` are left out. */
const WITHOUT_TARGET = { shop: ALL, account: ALL };
/** What a call of TikTok Shop concerns without these members. */
const CALLS = { shop: 'the whole account', account: "the customer's only account" };

/**
 * Refuses a `shop` or an `account` without a value, which may come from a missing parameter of a request. Also refuses
 * one that the request would not contain, such as the getter of a class. `without` says what the arguments name if the
 * member is left out.
 */
function checkTarget(named, without) {
  for (const [name, meant] of Object.entries(without)) {
    if (!(name in named)) continue;
    if (named[name] === undefined || named[name] === null) {
      throw new TypeError(`${name}: it has no value; leave it out if you mean ${meant}`);
    }
    if (!Object.prototype.propertyIsEnumerable.call(named, name)) {
      throw new TypeError(`${name}: it is no enumerable member of the object itself; give a plain object`);
    }
  }
}

/** Returns the head of a webhook. A header that is missing counts as empty, so the webhook is a forged one. */
function withHead({ authorization, ...named }) {
  return { ...named, authorization: authorization ?? '' };
}

/** Returns the text of an error of the function `apps`. Its own text may contain the secret of an app. */
function appsText(thrown) {
  return `the function apps threw ${shown(thrown)}`;
}

function secretUrl({ url }) {
  return { url: new Secret(url) };
}

/** Returns a promise that the signal rejects. The request of `asked` continues until its end. */
function abandoned(asked, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    asked.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

module.exports = { Host };
