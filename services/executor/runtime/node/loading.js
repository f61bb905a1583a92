'use strict';
// Finds the function that a handler's name means, or the file to run as a program.

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');

const { FunctionFailed } = require('./failures');
const { read } = require('./reading');
const { HANDLERS } = require('./survey');

const SUFFIXES = ['.js', '.mjs', '.cjs'];
const SHOWN = 20;
const CURE = 'name the file .mjs, or put {"type": "module"} into package.json';

/** Return `{file, name, attribute, isProgram}` of a handler's name. FunctionFailed when it means nothing. */
function find(spelt, code) {
  const handler = spelt.normalize('NFC'); // as files in /code are; copied from a file name on macOS it is decomposed
  const dot = handler.lastIndexOf('.');
  const [name, attribute] = [handler.slice(0, Math.max(dot, 0)), handler.slice(dot + 1)];
  if (!name || !attribute) throw initError(`handler: '${handler}' is not of the form module.function`);
  const file = sourceOf(name, code);
  if (file === undefined) {
    const there = fs.readdirSync(code).sort().slice(0, SHOWN).join(', ') || 'nothing';
    throw initError(`handler: there is no module '${name}'; the code has: ${there}`);
  }
  const isProgram = attribute === 'handler' && isProgramFile(file, code);
  return { file, name, attribute, isProgram };
}

function isProgramFile(file, code) {
  const source = fs.readFileSync(file, 'utf8');
  const declared = declaredModule(file, code);
  const kinds = declared === undefined ? ['script', 'module'] : [declared ? 'module' : 'script'];
  const found = read(source, kinds);
  if (found.isModule && !declared && !process.features.require_module) {
    const name = path.relative(code, file);
    throw initError(`handler: ${name} is written as an ES module, and would run as none (${CURE})`);
  }
  return found.isProgram;
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

/** Return the function of a handler's name. Exceptions of user code during loading are passed on. */
async function load({ file, name, attribute }, code) {
  const loaded = declaredModule(file, code) ? await import(pathToFileURL(file)) : required(file);
  // What AWS's own examples call it stands in where there is no `handler`.
  const names = attribute === 'handler' ? HANDLERS : [attribute];
  const found = names
    .map((one) => exportOf(loaded, one) ?? exportOf(loaded?.default, one))
    .find((one) => one !== undefined);
  if (found === undefined) throw initError(`handler: module '${name}' has no '${attribute}'${exported(loaded)}`);
  if (typeof found !== 'function') {
    throw initError(`handler: ${name}.${attribute} is not a function but ${found === null ? 'null' : typeof found}`);
  }
  return found;
}

/** Return the export of this name, which the source may spell decomposed: JavaScript, unlike Python, keeps it so. */
function exportOf(exports, name) {
  const found = exports?.[name];
  if (found !== undefined || !/[^\x00-\x7F]/.test(name)) return found;
  return exports?.[Object.keys(exports ?? {}).find((key) => key.normalize('NFC') === name)];
}

function exported(loaded) {
  const names = loaded !== null && ['object', 'function'].includes(typeof loaded) ? Object.keys(loaded) : [];
  if (names.length > 0) return `; it exports: ${names.slice(0, SHOWN).join(', ')}`;
  return typeof loaded === 'function' ? '; it exports one function without a name' : '; it exports nothing';
}

function required(file) {
  try {
    return createRequire(file)(file);
  } catch (error) {
    if (error instanceof SyntaxError && /\b(?:import|export)\b/.test(error.message)) error.message += ` (${CURE})`;
    throw error;
  }
}

/** Whether a file is declared an ES module, by its suffix or the nearest package.json. undefined = it is not said. */
function declaredModule(file, code) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); folder.startsWith(code); folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (isFile(description)) return typeIn(description, code);
    if (folder === code) break;
  }
  return undefined;
}

function typeIn(description, code) {
  const text = fs.readFileSync(description, 'utf8').replace(/^\uFEFF/, ''); // a byte order mark is none of JSON's
  try {
    const { type } = JSON.parse(text);
    return { module: true, commonjs: false }[type];
  } catch (error) {
    throw initError(`${path.relative(code, description)} cannot be read: ${error.message}`);
  }
}

function initError(message) {
  return new FunctionFailed('InitError', message);
}

module.exports = { find, load };
