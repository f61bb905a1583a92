'use strict';
// Adds the cure to the errors that functions often fail with because they run in a sandbox.

const CAUSES = 8; // errors that are looked at in a chain of causes
const NO_NETWORK = new Set(['EAI_AGAIN', 'ENETUNREACH']);

/** Return the cure as the end of an error's sentence, or ''. `event` is what a handler was called with. */
function hint(error, event) {
  for (let [one, left] = [error, CAUSES]; one instanceof Error && left > 0; [one, left] = [one.cause, left - 1]) {
    const cure = ofCode(one);
    if (cure) return cure;
  }
  // V8 names null in its own errors. A TypeError that the function throws of itself has another cause.
  const isOfNull = error instanceof TypeError && /\bnull\b/.test(error.message);
  return isOfNull && event === null ? ' (the payload is null, not an object)' : '';
}

function ofCode(error) {
  if (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND') return ofImport(error);
  if (error.code === 'EROFS') return ' (write to /tmp, and to /output what is to be kept: everything else is read-only)';
  return NO_NETWORK.has(error.code) ? ' (a function has no network but $AI_ENDPOINT)' : '';
}

function ofImport(error) {
  const wanted = /^Cannot find (?:module|package) '([^']+)'/.exec(error.message)?.[1] ?? '';
  if (!wanted || /^[./]/.test(wanted)) return ' (put that file beside the handler and upload the folder)';
  const name = wanted.split('/', wanted.startsWith('@') ? 2 : 1).join('/');
  return ` (\`npm install ${name}\` beside the handler and upload the folder with its node_modules)`;
}

module.exports = { hint };
