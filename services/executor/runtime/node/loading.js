'use strict';
// Finds the function that a handler's name means, or the file to run as a program.

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');

const { FunctionFailed } = require('./failures');
const { exportsHandler, isModuleSyntax } = require('./reading');

const SUFFIXES = ['.js', '.mjs', '.cjs'];
const SHOWN = 20;
const CURE = 'name the file .mjs, or put {"type": "module"} into package.json';

/** Return `{file, name, attribute, isProgram}` of a handler's name. FunctionFailed when it means nothing. */
function find(handler, code) {
  const dot = handler.lastIndexOf('.');
  const [name, attribute] = [handler.slice(0, Math.max(dot, 0)), handler.slice(dot + 1)];
  if (!name || !attribute) throw initError(`handler: '${handler}' is not of the form module.function`);
  const file = sourceOf(name, code);
  if (file === undefined) {
    const there = fs.readdirSync(code).sort().slice(0, SHOWN).join(', ') || 'nothing';
    throw initError(`handler: there is no module '${name}'; the code has: ${there}`);
  }
  const source = attribute === 'handler' ? fs.readFileSync(file, 'utf8') : '';
  const isProgram = attribute === 'handler' && !exportsHandler(source);
  if (isProgram) checkSyntax(source, file);
  return { file, name, attribute, isProgram };
}

function sourceOf(name, code) {
  for (const stem of new Set([name, name.replaceAll('.', '/')])) {
    for (const place of [stem, path.join(stem, 'index')]) {
      const found = SUFFIXES.map((suffix) => path.join(code, place + suffix)).find(isFile);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Throw the SyntaxError a program would begin with. ES modules can only be checked by running them. */
function checkSyntax(source, file) {
  if (file.endsWith('.mjs') || isModuleSyntax(source)) return;
  vm.compileFunction(source.replace(/^#!/, '//'), ['exports', 'require', 'module', '__filename', '__dirname'], {
    filename: file,
  });
}

/** Return the function of a handler's name. Exceptions of user code during loading are passed on. */
async function load({ file, name, attribute }, code) {
  const loaded = isModule(file, code) ? await import(pathToFileURL(file)) : required(file);
  const found = loaded?.[attribute] ?? loaded?.default?.[attribute];
  if (found === undefined) throw initError(`handler: module '${name}' has no '${attribute}'${exported(loaded)}`);
  if (typeof found !== 'function') {
    throw initError(`handler: ${name}.${attribute} is not a function but ${found === null ? 'null' : typeof found}`);
  }
  return found;
}

function exported(loaded) {
  const names = loaded !== null && ['object', 'function'].includes(typeof loaded) ? Object.keys(loaded) : [];
  return names.length > 0 ? `; it exports: ${names.slice(0, SHOWN).join(', ')}` : '';
}

function required(file) {
  try {
    return createRequire(file)(file);
  } catch (error) {
    if (error instanceof SyntaxError && /\b(?:import|export)\b/.test(error.message)) error.message += ` (${CURE})`;
    throw error;
  }
}

/** Whether Node treats a file as an ES module, by its suffix or the nearest package.json. */
function isModule(file, code) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); folder.startsWith(code); folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (isFile(description)) return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
    if (folder === code) break;
  }
  return false;
}

function initError(message) {
  return new FunctionFailed('InitError', message);
}

module.exports = { find, load };
