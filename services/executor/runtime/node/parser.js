'use strict';
// Parses JavaScript and keeps of every function only what it says of its module's exports, so that a bundle of
// many megabytes is read in the memory of its largest function. The grammar is acorn's, which Node brings for its own
// REPL: nothing has to be installed.

const vm = require('node:vm');

const { survey } = require('./survey');

const ACORN = 'internal/deps/acorn/acorn/dist/acorn';
const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
// Import attributes are newer than the acorn of older Nodes, and say nothing of exports.
const ATTRIBUTES = /\b(?:with|assert)\s*\{\s*["']?type["']?\s*:\s*["']\w+["']\s*,?\s*\}/g;

let Parser;

function parserClass() {
  const source = process.binding('natives')[ACORN];
  const acorn = { exports: {} };
  vm.compileFunction(source, ['exports', 'module'])(acorn.exports, acorn);
  return class extends acorn.exports.Parser {
    finishNode(node, type) {
      const finished = super.finishNode(node, type);
      if (FUNCTIONS.has(type)) {
        finished.doubts = survey(finished).doubts;
        finished.body = undefined;
      }
      return finished;
    }
  };
}

/** The syntax tree of a source, functions without their bodies. `kind` is script or module. SyntaxError. */
function parse(source, kind) {
  Parser ??= parserClass();
  const text = source.replace(ATTRIBUTES, (found) => ' '.repeat(found.length));
  return Parser.parse(text, {
    ecmaVersion: 'latest',
    sourceType: kind,
    allowReturnOutsideFunction: kind === 'script',
    allowHashBang: true,
  });
}

module.exports = { parse };
