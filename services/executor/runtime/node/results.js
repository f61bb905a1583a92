'use strict';
// Encodes a handler's return value as JSON, or gives the reason why that fails.

const { FunctionFailed } = require('./failures');

const stringify = JSON.stringify; // the function may put something else in its place
// JSON.stringify writes half of a surrogate pair as an escape; a backslash before it would make it text.
const LONE_SURROGATE = /(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/;

/** Return `value` as a Buffer of JSON. FunctionFailed of type ResultInvalid when it is not JSON or too large. */
function encode(value, limit) {
  const text = asText(value === undefined ? null : value);
  const size = Buffer.byteLength(text);
  if (size > limit) throw invalid(`the result is ${size} bytes of JSON; the limit is ${limit}`);
  return Buffer.from(text);
}

function asText(value) {
  let text;
  try {
    text = stringify(value);
    // JSON has no NaN and no Infinity; they were written as null.
    if (text !== undefined && text.includes('null')) stringify(value, refuseWhatIsNoNumber);
  } catch (error) {
    if (error instanceof FunctionFailed) throw error;
    throw invalid(`the result is not JSON: ${error?.message ?? error}`);
  }
  if (text === undefined) throw invalid(`the result is not JSON but a ${typeof value}`);
  if (text.includes('\\ud') && LONE_SURROGATE.test(text)) {
    throw invalid('the result has text that is not valid Unicode (lone surrogates)');
  }
  return text;
}

function refuseWhatIsNoNumber(key, value) {
  if ((typeof value === 'number' || value instanceof Number) && !Number.isFinite(Number(value))) {
    throw invalid(`the result is not JSON: it has ${value}${key === '' ? '' : ` at ${stringify(key)}`}`);
  }
  return value;
}

function invalid(message) {
  return new FunctionFailed('ResultInvalid', message);
}

module.exports = { encode };
