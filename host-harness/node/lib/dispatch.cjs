'use strict';
// Lets the addon call functions of JavaScript objects.

const { addon } = require('./addon.cjs');
const { plain } = require('./values.cjs');

/** Returns a function that makes the addon's calls of this object, and answers each one. */
function dispatcher(object) {
  return (number, name, text) => {
    const called = async () => object[name](JSON.parse(text));
    called().then(
      (value) => addon.answer(number, true, JSON.stringify(plain(value ?? null))),
      (thrown) => addon.answer(number, false, JSON.stringify({ code: thrown?.code, message: messageOf(thrown) })),
    );
  };
}

function messageOf(thrown) {
  return thrown instanceof Error ? thrown.message : 'the function threw something that is no Error';
}

module.exports = { dispatcher };
