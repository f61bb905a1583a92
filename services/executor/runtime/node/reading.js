'use strict';
// Finds out whether a module exports a handler by reading its source, so that a program is not run for that.
//
// In doubt the answer is yes: the author of a program sees the error of loading it, while a handler taken for a program
// would silently do nothing.

const { parse } = require('./parser');
const { HANDLERS, survey } = require('./survey');

const NAMES = HANDLERS.join('|');
// The usual ways at the beginning of a line, where only a comment or a template around it could make it mean nothing.
const COMMON = String.raw`(?:module\.)?exports\.(?:${NAMES})\s*=`;
const MODULE = String.raw`export\s+(?:async\s+)?(?:const|let|var|function)\s+(?:${NAMES})\b`;
const PLAIN = new RegExp(`^(?:${COMMON}|${MODULE})`, 'm');
const NAMES_OF_MODULES = new Set(['export']); // `exports` and `module` are CommonJS's

/** What a source is: `{isProgram, isModule}`. `kinds` are what Node may take it for, the likelier first. */
function read(source, kinds) {
  if (isPlain(source)) return { isProgram: false, isModule: false };
  for (const kind of kinds) {
    const tree = parsed(source, kind);
    if (tree === undefined) continue;
    const { doubts, acts } = survey(tree);
    const isModule = kind === 'module';
    const exportsHandler = isModule ? [...doubts].some((one) => NAMES_OF_MODULES.has(one)) : doubts.size > 0;
    return { isProgram: acts && !exportsHandler, isModule };
  }
  return { isProgram: false, isModule: false }; // Node's own words on it are better than ours
}

function isPlain(source) {
  const found = PLAIN.exec(source);
  if (!found) return false;
  const before = source.slice(0, found.index);
  return !before.includes('`') && before.lastIndexOf('*/') >= before.lastIndexOf('/*');
}

function parsed(source, kind) {
  try {
    return parse(source, kind);
  } catch {
    return undefined; // no such source, or one too deep to be read
  }
}

module.exports = { read };
