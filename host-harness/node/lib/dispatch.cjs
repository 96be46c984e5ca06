'use strict';
// Lets the addon call functions of JavaScript objects.

const { addon } = require('./addon.cjs');
const { plain } = require('./values.cjs');

/**
 * Returns a function that makes the addon's calls of this object, and answers each one. If the addon does not read the
 * result, the function of the object may return anything. `textOf` gets a thrown value and the name of the function,
 * and returns the text that reaches errors and logs.
 */
function dispatcher(object, textOf = messageOf) {
  return (number, name, text, isRead) => {
    const called = async () => {
      const result = await object[name](JSON.parse(text));
      return isRead ? json(result) : 'null';
    };
    called().then(
      (answer) => addon.answer(number, true, answer),
      (thrown) => addon.answer(number, false, JSON.stringify(described(thrown, textOf, name))),
    );
  };
}

/** Returns a result as JSON. JSON has no functions and symbols, so `null` takes their place. */
function json(result) {
  return JSON.stringify(plain(result ?? null)) ?? 'null';
}

const NO_ERROR = 'the function threw something that is no Error';

function messageOf(thrown) {
  return thrown instanceof Error ? String(thrown.message) : NO_ERROR;
}

/** Describes a thrown value for the addon. Its members may be functions that throw, too. */
function described(thrown, textOf, name) {
  try {
    const code = thrown instanceof Error && typeof thrown.code === 'string' ? thrown.code : undefined;
    return { code, message: textOf(thrown, name) };
  } catch {
    return { message: NO_ERROR };
  }
}

module.exports = { dispatcher };
