'use strict';
// Finds out whether a module exports `handler` by reading its source, so that a program is not run for that.
//
// In doubt (`module.exports = something()`, `export * from`) the answer is yes: the author of a program sees the error
// of loading it, while a handler taken for a program would silently do nothing.

// Comments, and whatever may hold text that looks like code. A `/` begins a regular expression where a value may stand.
const NOT_CODE = new RegExp(
  [
    String.raw`\/\*[^]*?\*\/`,
    String.raw`\/\/[^\n]*`,
    String.raw`"(?:\\[^]|[^"\\\n])*"`,
    String.raw`'(?:\\[^]|[^'\\\n])*'`,
    '`(?:\\\\[^]|[^`\\\\])*`',
    String.raw`(?<=(?:^|[=(,:;!&|?{}[\n]|\breturn)\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/`,
  ].join('|'),
  'g',
);

const EXPORTS_HANDLER = [
  /\bexports\s*(?:\?\.|\.)\s*handler\b/,
  /\bexports\s*\[\s*"handler"/,
  /\b(?:defineProperty|__export\w*)\s*\(\s*[\w.$]*exports\s*,\s*(?:"handler"|\{[^}]*\bhandler\b)/,
  /\bexport\s+(?:async\s+)?(?:function\s*\*?|const|let|var|class)\s+handler\b/,
  /\bexport\s*\{[^}]*\bhandler\s*[,}]/,
];
const CANNOT_TELL = [
  /\bmodule\s*\.\s*exports\s*=(?!=)(?!\s*\{)/,
  /\bexport\s*\*/,
  /\bexport\s+default\b/,
  /\bexport\s+(?:const|let|var)\s*[{[]/,
  /\bexport\s+(?:const|let|var)\b[^;]*,\s*handler\b/,
  /\bObject\s*\.\s*assign\s*\(\s*(?:module\s*\.\s*)?exports\b/,
];
const OBJECT_EXPORTED = /\bmodule\s*\.\s*exports\s*=\s*\{/g;
const MODULE_SYNTAX = [
  /^\s*import\b\s*[\w{*$"']/m,
  /\bimport\s*\.\s*meta\b/,
  /^\s*export\b/m,
  /^(?:(?:const|let|var)\b.*=\s*)?await\b/m, // at top level, which only ES modules may
];

/** Whether the module gives `handler` to others, as far as reading can tell. */
function exportsHandler(source) {
  const code = codeOf(source);
  return [...EXPORTS_HANDLER, ...CANNOT_TELL].some((form) => form.test(code)) || literalHasHandler(code);
}

/** Whether it is written as an ES module. */
function isModuleSyntax(source) {
  const code = codeOf(source);
  return MODULE_SYNTAX.some((form) => form.test(code));
}

function codeOf(source) {
  return source.replace(NOT_CODE, (text) => {
    if (text.startsWith('//') || text.startsWith('/*')) return ' ';
    return /^['"]handler['"]$/.test(text) ? '"handler"' : '""';
  });
}

/** Whether an object literal assigned to module.exports has `handler` in it, or spreads something that may. */
function literalHasHandler(code) {
  for (const { index, 0: found } of code.matchAll(OBJECT_EXPORTED)) {
    const literal = balanced(code, index + found.length);
    if (/\.\.\.|(?:^|[,{\s*])(?:handler|"handler")\s*(?:[,:(]|$)/.test(literal)) return true;
  }
  return false;
}

/** What stands between the brace before `start` and its partner. */
function balanced(code, start) {
  let depth = 1;
  let end = start;
  for (; end < code.length && depth > 0; end += 1) {
    if (code[end] === '{') depth += 1;
    else if (code[end] === '}') depth -= 1;
  }
  return code.slice(start, end - (depth === 0 ? 1 : 0));
}

module.exports = { exportsHandler, isModuleSyntax };
