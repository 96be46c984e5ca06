'use strict';
// Describes what a function of the platform has thrown.

/** The names of classes and the codes of errors that an error text may show. A text of another form could be secret. */
const SHOWN_NAME = /^[A-Za-z_$][\w$]{0,39}$/;
const SHOWN_CODE = /^[A-Z][A-Z0-9_]{0,39}$/;

const NO_ERROR = 'something that is no Error';

/** Describes a thrown value without its text. Its members may be functions that throw, too. */
function shown(thrown) {
  try {
    if (!(thrown instanceof Error)) return NO_ERROR;
    // An error of a class of the platform often has the name of its base class, Error.
    const name = [thrown.name, thrown.constructor?.name].find((one) => isName(one) && one !== 'Error') ?? 'Error';
    const code = [thrown.code, thrown.cause?.code].find((one) => typeof one === 'string' && SHOWN_CODE.test(one));
    return code === undefined ? name : `${name} (${code})`;
  } catch {
    return NO_ERROR;
  }
}

function isName(value) {
  return typeof value === 'string' && SHOWN_NAME.test(value);
}

/** Whether a thrown value is an error of one of these classes. A proxy may throw when it is asked for its class. */
function isOneOf(thrown, classes) {
  try {
    return classes.some((one) => thrown instanceof one);
  } catch {
    return false;
  }
}

module.exports = { isOneOf, shown };
