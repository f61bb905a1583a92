// Builds one handler with every bundler and compiler beside this file: `node build.mjs` makes out/<name>/ of each.
// In out/programs there is a program of every bundler, which exports nothing.

import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import babel from '@babel/core';
import commonjs from '@rollup/plugin-commonjs';
import resolve from '@rollup/plugin-node-resolve';
import swc from '@swc/core';
import terser from '@rollup/plugin-terser';
import esbuild from 'esbuild';
import ts from 'typescript';
import webpack from 'webpack';
import { rollup } from 'rollup';

const here = path.dirname(fileURLToPath(import.meta.url));
const source = path.join(here, 'source');
const out = path.join(here, 'out');
const HANDLER = `import dayjs from 'dayjs';
import { capitalize } from 'lodash';
export const handler = async (event) => capitalize(dayjs(event.at).format('[YEAR] YYYY'));
`;
const PROGRAM = `import { readFileSync } from 'node:fs';
import dayjs from 'dayjs';
import { capitalize } from 'lodash';
console.log(JSON.stringify(capitalize(dayjs(JSON.parse(readFileSync(0, 'utf8')).at).format('[YEAR] YYYY'))));
`;
const POWERTOOLS = `import type { Context } from 'aws-lambda';
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
const logger = new Logger({ serviceName: 'shop' });
const metrics = new Metrics({ namespace: 'shop', serviceName: 'orders' });
export const handler = async (event: { n: number }, context: Context): Promise<number> => {
  logger.addContext(context);
  logger.info('ordered', { n: event.n });
  metrics.addMetric('orders', MetricUnit.Count, event.n);
  metrics.publishStoredMetrics();
  return event.n + 1;
};
`;
const OTHER = "export { handler } from './handler';\n";
const DEPENDENCIES = ['dayjs', 'lodash'];

function write(name, text) {
  const file = path.join(out, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** What is compiled and not bundled has its dependencies beside it. */
function besides(name) {
  for (const one of DEPENDENCIES) {
    fs.cpSync(path.join(here, 'node_modules', one), path.join(out, name, 'node_modules', one), { recursive: true });
  }
}

function compiled(name, file, text, description = {}) {
  write(`${name}/${file}`, text);
  write(`${name}/package.json`, JSON.stringify({ main: file, ...description }));
  besides(name);
}

async function withEsbuild(entry, name, file, options) {
  const outfile = path.join(out, name, file);
  await esbuild.build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', ...options });
}

function withWebpack(entry, name, options) {
  const where = { path: path.join(out, name), filename: 'main.js', ...options.output };
  const all = { target: 'node18', mode: 'production', entry, ...options, output: where };
  return new Promise((done, failed) => {
    webpack(all, (error, stats) => (error || stats.hasErrors() ? failed(error ?? stats.toString()) : done()));
  });
}

async function withRollup(entry, name, file, output, plugins = []) {
  const all = [resolve(), commonjs(), ...plugins];
  const bundle = await rollup({ input: entry, external: [/^node:/], plugins: all, logLevel: 'silent' });
  await bundle.write({ file: path.join(out, name, file), ...output });
}

function withParcel(entry, name) {
  const output = { context: 'node', includeNodeModules: true, outputFormat: 'commonjs', engines: { node: '18' } };
  const project = path.join(here, name);
  fs.mkdirSync(project, { recursive: true });
  fs.copyFileSync(entry, path.join(project, 'index.js'));
  write(`${name}/.keep`, '');
  const main = path.relative(project, path.join(out, name, 'main.js'));
  const description = { main, targets: { main: output }, source: 'index.js' };
  fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify(description));
  const parcel = path.join(here, 'node_modules/.bin/parcel');
  execFileSync(parcel, ['build', '--no-cache', '--no-source-maps'], { cwd: project });
}

async function build(entry, prefix) {
  const isProgram = prefix !== '';
  await withEsbuild(entry, `${prefix}esbuild-cjs`, 'main.js', { format: 'cjs' });
  await withEsbuild(entry, `${prefix}esbuild-cjs-minified`, 'main.js', { format: 'cjs', minify: true });
  await withEsbuild(entry, `${prefix}esbuild-esm-minified`, 'main.mjs', { format: 'esm', minify: true, banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" } });
  const library = (type) => (isProgram ? {} : { output: { library: { type } } });
  await withWebpack(entry, `${prefix}webpack-commonjs2`, library('commonjs2'));
  await withWebpack(entry, `${prefix}webpack-development`, { mode: 'development', ...library('commonjs') });
  await withRollup(entry, `${prefix}rollup-esm`, 'main.mjs', { format: 'es' });
  await withRollup(entry, `${prefix}rollup-cjs-minified`, 'main.js', { format: 'cjs' }, [terser()]);
  withParcel(entry, `${prefix}parcel`);
}

fs.rmSync(out, { recursive: true, force: true });
fs.mkdirSync(source, { recursive: true });
const [handler, program, other] = ['handler.mjs', 'program.mjs', 'other.mjs'].map((name) => path.join(source, name));
fs.writeFileSync(handler, HANDLER);
fs.writeFileSync(program, PROGRAM);
fs.writeFileSync(other, OTHER.replace('./handler', './handler.mjs'));

const powertools = path.join(source, 'powertools.ts');
fs.writeFileSync(powertools, POWERTOOLS);
await withEsbuild(powertools, 'powertools', 'main.js', { format: 'cjs', target: 'node18' });
await build(handler, '');
await build(program, 'program/');
await withEsbuild(other, 'esbuild-cjs-exported-again', 'main.js', { format: 'cjs' });
await withEsbuild(handler, 'esbuild-unbundled', 'main.js', { format: 'cjs', bundle: false });
besides('esbuild-unbundled');
await withWebpack(handler, 'webpack-umd', { output: { library: { type: 'umd', name: 'app' }, globalObject: 'this' } });
await withWebpack(handler, 'webpack-commonjs-minified', { output: { library: { type: 'commonjs' } } });
await withWebpack(handler, 'webpack-module', {
  experiments: { outputModule: true }, output: { library: { type: 'module' }, filename: 'main.mjs', module: true } });
await withRollup(other, 'rollup-cjs-exported-again', 'main.js', { format: 'cjs' });

const swcOptions = (minify) => ({
  minify,
  module: { type: 'commonjs' },
  jsc: { target: 'es2022', minify: { compress: minify, mangle: minify } },
});
for (const minify of [false, true]) {
  compiled(minify ? 'swc-minified' : 'swc', 'main.js', swc.transformSync(HANDLER, swcOptions(minify)).code);
}
compiled('swc-exported-again', 'main.js', swc.transformSync(OTHER, swcOptions(false)).code);
write('swc-exported-again/handler.js', swc.transformSync(HANDLER, swcOptions(false)).code);
function transpiled(text, module) {
  const compilerOptions = { module, target: ts.ScriptTarget.ES2022, esModuleInterop: true };
  return ts.transpileModule(text, { compilerOptions }).outputText;
}
compiled('tsc-cjs', 'main.js', transpiled(HANDLER, ts.ModuleKind.CommonJS));
compiled('tsc-cjs-star', 'main.js', transpiled("export * from './handler';", ts.ModuleKind.CommonJS));
write('tsc-cjs-star/handler.js', transpiled(HANDLER, ts.ModuleKind.CommonJS));
// Node itself sees no names in lodash.
const ESM = HANDLER.replace('{ capitalize }', 'lodash').replace('capitalize(', 'lodash.capitalize(');
compiled('tsc-esm', 'main.js', transpiled(ESM, ts.ModuleKind.ESNext), { type: 'module' });
for (const minified of [false, true]) {
  const presets = [['@babel/preset-env', { targets: { node: '18' }, modules: 'commonjs' }]];
  const { code } = babel.transformSync(HANDLER, { presets, minified, comments: !minified, babelrc: false, cwd: here });
  compiled(minified ? 'babel-minified' : 'babel', 'main.js', code);
}
