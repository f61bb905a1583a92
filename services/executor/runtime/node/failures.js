'use strict';
// Describes failures of user code for its author: type, message, and a stack without the runtime's frames.

const { inspect } = require('node:util');

const { hint } = require('./hints');

const MESSAGE_CHARS = 8_192;
const STACK_CHARS = 65_536;
const HEADER_BYTES = 200 * 1024; // of JSON; the executor refuses more than 256 KiB
const CAUSES = 8;
const { stringify } = JSON; // the function may put something else in its place
const NODES_OWN = /^\s+at .*\(?node:internal\//;

/** A failure with its type in the contract's vocabulary. */
class FunctionFailed extends Error {
  constructor(type, message) {
    super(message);
    this.type = type;
  }
}

/** The failure in the form sent to the executor, in valid Unicode. `type` is its type in the contract, `event` what was called with. */
function describe(error, type, event) {
  const { message, stack, ...rest } = described(error, type, event);
  let [kept, all] = [message.length, { ...rest, message: wellFormed(message), stack: wellFormed(stack) }];
  // Letters of other scripts take three bytes, and control characters six.
  while (Buffer.byteLength(stringify(all)) > HEADER_BYTES) {
    kept = Math.floor(kept / 2);
    all = { ...all, message: wellFormed(message.slice(0, kept)), stack: cut(all.stack, all.stack.length / 2) };
  }
  return all;
}

/** Half of a surrogate pair, the function's own or left by cutting, becomes U+FFFD: no UTF-8 could carry it. */
const wellFormed = (text) => Buffer.from(text).toString();

function described(error, type, event) {
  if (error instanceof FunctionFailed) {
    return { type: error.type, message: error.message.slice(0, MESSAGE_CHARS), stack: '' };
  }
  try {
    const cure = hint(error, event);
    const message = sentence(error).slice(0, MESSAGE_CHARS - cure.length) + cure;
    const isMemory = error instanceof RangeError && /allocation failed/.test(error.message);
    return { type: isMemory ? 'OutOfMemory' : type, message, stack: stackOf(error) };
  } catch {
    return { type, message: 'something was thrown that cannot be shown', stack: '' }; // its own getters throw
  }
}

function sentence(error) {
  const text = error instanceof Error ? named(error) : `${inspect(error)} was thrown, which is no Error`;
  return text.slice(0, MESSAGE_CHARS);
}

function named(error) {
  const own = error.constructor?.name;
  const name = error.name && error.name !== 'Error' ? error.name : own || 'Error';
  return error.message ? `${name}: ${error.message}` : `${name}`;
}

/** The stack as Node prints it, down to the function's own outermost frame, and then those of its causes. */
function stackOf(error) {
  const parts = [];
  for (let one = error; one instanceof Error && parts.length < CAUSES; one = one.cause) parts.push(usersPart(one));
  const text = parts.join('\nCaused by: ');
  return cut(text, STACK_CHARS);
}

/** The beginning and the end of a text that is longer than `chars`. */
function cut(text, chars) {
  if (text.length <= chars) return text;
  return wellFormed(`${text.slice(0, chars / 2)}\n    […]\n${text.slice(-chars / 2)}`);
}

function usersPart(error) {
  const lines = `${error.stack ?? ''}`.split('\n');
  const ours = lines.findIndex((line) => /^\s+at /.test(line) && line.includes(__dirname));
  if (ours >= 0) lines.length = ours;
  while (lines.length > 1 && NODES_OWN.test(lines.at(-1))) lines.pop();
  return lines.join('\n');
}

module.exports = { FunctionFailed, describe };
