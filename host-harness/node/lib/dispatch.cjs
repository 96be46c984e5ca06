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
      (thrown) => addon.answer(number, false, JSON.stringify({ code: wordOf(thrown), message: messageOf(thrown) })),
    );
  };
}

function wordOf(thrown) {
  return typeof thrown?.code === 'string' ? thrown.code : undefined;
}

function messageOf(thrown) {
  return thrown instanceof Error ? thrown.message : 'the function threw something that is no Error';
}

module.exports = { dispatcher };
