'use strict';
// Surveys a syntax tree for the exports of its module. A doubt is a mention that may export a handler: by `export`,
// or by one of the names that CommonJS has for the exports, left free by the functions around it. And whether the code
// acts when it is loaded, or only declares.

const HANDLERS = ['handler', 'lambdaHandler', 'lambda_handler'];
const WANTED = new Set([...HANDLERS, 'default']); // of a default export, handlers are looked for too
const NAMES = new Set(['exports', 'module']);
const EQUALITIES = new Set(['==', '===', '!=', '!==']);
const DEFINING = new Set(['defineProperty', 'defineProperties', 'assign']);
const GLOBALS = new Set(['process', 'global', 'globalThis']);

class Survey {
  doubts = new Set(); // of exports, module, this, export
  bound = new Set(); // which of the names are declared here
  acts = false;

  walk(node) {
    if (Array.isArray(node)) node.forEach((one) => this.walk(one));
    else if (node && typeof node.type === 'string') (VISITS[node.type] ?? everything)(this, node);
  }

  /** Walk what is only looked at: to ask whether there are exports exports nothing. */
  test(node) {
    if (node?.type === 'LogicalExpression') {
      this.test(node.left);
      this.test(node.right);
    } else if (!rootOfExports(node) && !isName(node, 'module')) {
      this.walk(node);
    }
  }

  bind(pattern) {
    if (pattern?.type === 'Identifier') this.bound.add(pattern.name);
    else if (pattern?.type === 'AssignmentPattern') {
      this.bind(pattern.left);
      this.walk(pattern.right);
    } else if (pattern?.type === 'Property') {
      if (pattern.computed) this.walk(pattern.key);
      this.bind(pattern.value);
    } else {
      for (const part of pattern?.properties ?? pattern?.elements ?? [pattern?.argument]) if (part) this.bind(part);
    }
  }

  add(doubts, without = new Set()) {
    for (const doubt of doubts) if (!without.has(doubt)) this.doubts.add(doubt);
  }

  /** `value` becomes the exports, or is merged into them. */
  exportObject(value, root) {
    if (value.type !== 'ObjectExpression') {
      if (!rootOfExports(value)) this.doubts.add(root);
    } else if (value.properties.some((one) => one.type === 'SpreadElement' || mayBeHandler(nameOf(one)))) {
      this.doubts.add(root);
    }
    this.walk(rootOfExports(value) ? undefined : value);
  }
}

const isName = (node, name) => node?.type === 'Identifier' && node.name === name;

/** The text of a literal; undefined where it is none. */
function textOf(node) {
  if (node?.type === 'TemplateLiteral' && node.quasis.length === 1) return node.quasis[0].value.cooked;
  return typeof node?.value === 'string' ? node.value : undefined;
}

const mayBeHandler = (name) => name === undefined || WANTED.has(name);

/** The name of a property of an object or of a member expression; undefined where it is computed. */
function nameOf({ computed, key, property }) {
  const name = key ?? property;
  if (computed || name.type !== 'Identifier') return textOf(name);
  return name.name;
}

/** Which name leads to the module's exports here, if the node is them: `exports`, or `module` of `module.exports`. */
function rootOfExports(node) {
  if (isName(node, 'exports')) return 'exports';
  const isMember = node?.type === 'MemberExpression' && isName(node.object, 'module');
  return isMember && nameOf(node) === 'exports' ? 'module' : undefined;
}

function isRequire(node) {
  return node?.type === 'CallExpression' && isName(node.callee, 'require') && textOf(node.arguments[0]) !== undefined;
}

function everything(found, node) {
  for (const key of Object.keys(node)) {
    if (key !== 'label' && typeof node[key] === 'object') found.walk(node[key]);
  }
}

function acting(found, node) {
  found.acts = true;
  everything(found, node);
}

function nested(found, node) {
  if (node.id && node.type === 'FunctionDeclaration') found.bind(node.id);
  found.add(node.doubts);
}

function classOf(found, node) {
  if (node.id) found.bind(node.id);
  found.walk(node.superClass);
  const inside = new Survey();
  inside.walk(node.body);
  found.add(inside.doubts, new Set(['this']));
}

function keyed(found, node) {
  if (node.computed) found.walk(node.key);
  found.walk(node.value);
}

function member(found, node) {
  const isThis = node.object.type === 'ThisExpression';
  const root = isThis ? 'this' : rootOfExports(node.object);
  if (root) {
    if (mayBeHandler(nameOf(node))) found.doubts.add(root);
  } else if (isName(node.object, 'module')) {
    if ([undefined, 'exports'].includes(nameOf(node))) found.doubts.add('module');
  } else {
    found.walk(node.object);
  }
  if (node.computed) found.walk(node.property);
}

function assignment(found, node) {
  const root = node.operator === '=' && rootOfExports(node.left);
  if (root && node.right.type === 'AssignmentExpression') found.walk(node.right);
  else if (root) found.exportObject(node.right, root);
  else {
    if (node.left.type === 'MemberExpression' && GLOBALS.has(node.left.object.name)) found.acts = true;
    found.walk(node.left);
    found.walk(node.right);
  }
}

/** `Object.defineProperty(exports, "name", …)` and its like say which names they define. */
function defines(found, { callee, arguments: [target, what, ...rest] }) {
  const root = rootOfExports(target);
  if (!root || callee.type !== 'MemberExpression' || !DEFINING.has(nameOf(callee))) return false;
  if (nameOf(callee) === 'defineProperty') {
    if (mayBeHandler(textOf(what))) found.doubts.add(root);
    found.walk(rest);
  } else {
    for (const one of [what, ...rest]) found.exportObject(one, root);
  }
  return true;
}

/** A development build of webpack has its modules as texts. */
function evaluated(found, text) {
  if (/\bmodule\s*\.\s*exports\b/.test(text)) found.doubts.add('module');
  if (/(?<!\bmodule\s*\.\s*)\bexports\b/.test(text)) found.doubts.add('exports');
}

function call(found, node) {
  if (defines(found, node)) return;
  found.acts = true;
  if (isName(node.callee, 'eval')) evaluated(found, textOf(node.arguments[0]) ?? '');
  everything(found, node);
}

function declarator(found, node) {
  found.bind(node.id);
  if (isRequire(node.init)) return; // what it does is the other module's affair
  const { acts } = found;
  found.walk(node.init);
  if (node.init?.type === 'NewExpression') found.acts = acts;
}

function exported(found, node) {
  const names = [...(node.specifiers ?? []).map(({ exported: { name, value } }) => name ?? value), ...declared(node)];
  if (names.some(mayBeHandler)) found.doubts.add('export');
  found.walk(node.declaration);
}

function declared({ declaration }) {
  const names = new Survey();
  for (const one of declaration?.declarations ?? [declaration]) names.bind(one?.id);
  return names.bound;
}

const doubtful = (found, node) => {
  found.doubts.add('export');
  found.walk(node.declaration);
};
const skipped = () => {};
const testing = (found, { test, ...rest }) => {
  found.test(test);
  everything(found, rest);
};

const VISITS = {
  Identifier: (found, { name }) => NAMES.has(name) && found.doubts.add(name),
  FunctionDeclaration: nested,
  FunctionExpression: nested,
  ArrowFunctionExpression: nested,
  ClassDeclaration: classOf,
  ClassExpression: classOf,
  Property: keyed,
  MethodDefinition: keyed,
  PropertyDefinition: keyed,
  MemberExpression: member,
  AssignmentExpression: assignment,
  CallExpression: call,
  VariableDeclarator: declarator,
  NewExpression: acting,
  AwaitExpression: acting,
  TaggedTemplateExpression: acting,
  ImportExpression: acting,
  ThrowStatement: acting,
  ImportDeclaration: (found, { specifiers }) => { found.acts ||= specifiers.length === 0; },
  IfStatement: testing,
  ConditionalExpression: testing,
  LogicalExpression: (found, { left, right }) => {
    found.test(left);
    found.walk(right);
  },
  BinaryExpression: (found, { operator, left, right }) => {
    for (const side of [left, right]) EQUALITIES.has(operator) ? found.test(side) : found.walk(side);
  },
  UnaryExpression: (found, { operator, argument }) => {
    if (operator === 'typeof') found.test(argument);
    else found.walk(argument);
  },
  ExportNamedDeclaration: exported,
  ExportDefaultDeclaration: doubtful,
  ExportAllDeclaration: doubtful,
  MetaProperty: skipped,
  BreakStatement: skipped,
  ContinueStatement: skipped,
};

/** The doubts of a function, less what it declares itself, or those of a whole module, and whether that acts. */
function survey(node) {
  const found = new Survey();
  const isFunction = node.params !== undefined;
  for (const param of node.params ?? []) found.bind(param);
  found.walk(node.body);
  if (!isFunction) return found;
  if (node.id) found.bind(node.id);
  const own = new Set([...found.bound].filter((name) => NAMES.has(name)));
  if (node.type !== 'ArrowFunctionExpression') own.add('this');
  const doubts = new Set([...found.doubts].filter((name) => !own.has(name)));
  return { doubts };
}

module.exports = { HANDLERS, survey };
