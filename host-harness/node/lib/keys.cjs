'use strict';
// Lets the addon call a provider of host keys. Bytes are a Buffer here, and hexadecimal digits in the addon.

const { HostKeyMismatch, HostKeyUnavailable, HostKeyUnknown } = require('./errors.cjs');
const { isOneOf, shown } = require('./thrown.cjs');

const REQUIRED = ['current', 'wrap', 'unwrap'];
const OPTIONAL = ['currentFor', 'destroy'];

/** The errors that a provider throws for a known reason. The library or the provider wrote the text that is shown. */
const NAMED = [HostKeyUnknown, HostKeyMismatch, HostKeyUnavailable];

/** Whether the option `keys` is a provider: it has at least one function of a provider. */
function isKeyProvider(keys) {
  if (typeof keys !== 'object' || keys === null) return false;
  return [...REQUIRED, ...OPTIONAL].some((name) => typeof keys[name] === 'function');
}

/** Returns which optional functions the provider has. Throws a TypeError if a required function is missing. */
function functionsOf(provider) {
  for (const name of REQUIRED) {
    if (typeof provider[name] !== 'function') throw new TypeError(`keys: the provider has no function ${name}`);
  }
  for (const name of OPTIONAL) {
    const isMissing = provider[name] === undefined || provider[name] === null;
    if (!isMissing && typeof provider[name] !== 'function') throw new TypeError(`keys: ${name} is no function`);
  }
  const [hasKeyPerTenant, canDestroy] = OPTIONAL.map((name) => typeof provider[name] === 'function');
  if (canDestroy && !hasKeyPerTenant) {
    throw new TypeError('keys: a provider with destroy needs currentFor, because other tenants use the same host key');
  }
  return { hasKeyPerTenant, canDestroy };
}

/** Returns an object whose functions the addon calls. */
function keyFunctions(provider) {
  return {
    current: () => named('current', async () => text(await provider.current())),
    currentFor: ({ tenant }) => named('currentFor', async () => text(await provider.currentFor({ tenant }))),
    wrap: ({ tenant, dataKey, context }) =>
      named('wrap', async () => {
        const key = bytes(dataKey);
        try {
          const wrapped = await provider.wrap({ tenant, dataKey: key, context: bytes(context) });
          return { hostKey: text(wrapped?.hostKey), bytes: digits(wrapped?.bytes) };
        } finally {
          key.fill(0);
        }
      }),
    unwrap: ({ tenant, wrapped, context }) =>
      named('unwrap', async () => {
        const given = { hostKey: wrapped.hostKey, bytes: bytes(wrapped.bytes) };
        return digits(await provider.unwrap({ tenant, wrapped: given, context: bytes(context) }));
      }),
    destroy: ({ tenant, wrappedBy }) =>
      named('destroy', async () => {
        const answer = await provider.destroy({ tenant, wrappedBy });
        return { outcome: text(answer?.outcome), key: text(answer?.key), next: text(answer?.next) };
      }),
  };
}

/** Calls a function of the provider. The text of an unknown error stays here, because it may contain a data key. */
async function named(name, call) {
  try {
    return await call();
  } catch (thrown) {
    if (isOneOf(thrown, NAMED)) throw thrown;
    // The addon gets the message of this error, and not the cause.
    throw new Error(`${name} of the key provider threw ${shown(thrown)}`, { cause: thrown });
  }
}

/** Decodes hexadecimal digits into a Buffer with memory of its own. Buffers of Node.js's pool share their memory. */
function bytes(hex) {
  const own = Buffer.alloc(hex.length / 2);
  own.write(hex, 'hex');
  return own;
}

/** Encodes bytes as hexadecimal digits. Returns `null` for any other value, and the addon refuses `null`. */
function digits(value) {
  if (!(value instanceof Uint8Array)) return null;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
}

/** Returns the value if it is a text. Returns `null` for any other value, and the addon refuses `null`. */
function text(value) {
  return typeof value === 'string' ? value : null;
}

module.exports = { functionsOf, isKeyProvider, keyFunctions };
