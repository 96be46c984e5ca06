'use strict';
// A secret text, which must not reach a log.

const { inspect } = require('node:util');

const REDACTED = '[redacted]';

/** A secret text. It prints as `[redacted]`. Only `expose` returns the text. */
class Secret {
  #text;

  constructor(text) {
    if (typeof text !== 'string') throw new TypeError('a secret is a string');
    this.#text = text;
  }

  expose() {
    return this.#text;
  }

  toString() {
    return REDACTED;
  }

  toJSON() {
    return REDACTED;
  }

  [inspect.custom]() {
    return REDACTED;
  }
}

module.exports = { REDACTED, Secret };
