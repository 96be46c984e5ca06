'use strict';
// Lets the addon call functions of JavaScript objects.

const { addon } = require('./addon.cjs');
const { plain } = require('./values.cjs');

/** Returns a function that makes the addon's calls of this object, and answers each one. */
function dispatcher(object) {
  return (number, name, text) => {
    const called = async () => JSON.stringify(plain((await object[name](JSON.parse(text))) ?? null));
    called().then(
      (answer) => addon.answer(number, true, answer),
      (thrown) => addon.answer(number, false, JSON.stringify(described(thrown))),
    );
  };
}

const NO_ERROR = { message: 'the function threw something that is no Error' };

/** Describes a thrown value for the addon. Its members may be functions that throw, too. */
function described(thrown) {
  try {
    if (!(thrown instanceof Error)) return NO_ERROR;
    const { code, message } = thrown;
    return { code: typeof code === 'string' ? code : undefined, message: String(message) };
  } catch {
    return NO_ERROR;
  }
}

module.exports = { dispatcher };
