"""Functions of the sandbox suite in JavaScript. The tests say how each must behave."""

MAIN = "main.js"

VERSION = "exports.handler = () => process.versions.node;\n"

IDENTITY = "exports.handler = (event) => event;\n"

ECHO = "exports.handler = (event, context) => ({ event, job: context.job_id });\n"

KOREAN = "exports.handler = (event) => { console.log(event['이름']); return '안녕, ' + event['이름']; };\n"

ASYNC = """
const { setTimeout: sleep } = require('node:timers/promises');
exports.handler = async (event) => { await sleep(1); return event; };
"""

ENVIRONMENT = """
const fs = require('fs');
const { execFileSync } = require('child_process');
exports.handler = () => {
  const names = ['HANDLER', 'JOB_ID', 'PAYLOAD', 'COLOUR', 'AI_ENDPOINT'];
  const child = execFileSync('sh', ['-c', 'printf %s,%s $JOB_ID $PAYLOAD']).toString();
  const env = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  return { env, file: fs.readFileSync(process.env.PAYLOAD_FILE, 'utf8'), child };
};
"""

LARGE_PAYLOAD = """
const fs = require('fs');
exports.handler = (event) => [event.length, process.env.PAYLOAD, fs.statSync(process.env.PAYLOAD_FILE).size];
"""

RAISES = """
function deeper() { throw new TypeError('no such colour'); }
exports.handler = async function work() {
  deeper();
};
"""
RAISED = "TypeError: no such colour"
RAISED_AT = "at work (/code/main.js:4:3)"

RECURSES = "exports.handler = (event) => 1 + exports.handler(event);\n"
RECURSED = "RangeError"

ENDS = """
exports.handler = ([way, code]) => {
  const ways = { exit: process.exit, 'at once': process.reallyExit, signal: (n) => process.kill(process.pid, n) };
  ways[way].call(process, code);
  for (;;); // a signal takes a moment
};
"""

HANGS = """
const { spawn } = require('child_process');
exports.handler = () => {
  spawn('sh', ['-c', "trap '' TERM; while :; do sleep 1; done"], { detached: true });
  console.log('begun');
  for (;;);
};
"""

REMAINING = "exports.handler = (event, context) => context.getRemainingTimeInMillis();\n"

INVALID = r"""
const cyclic = [];
cyclic.push(cyclic);
let deep = [];
for (let depth = 0; depth < 5000; depth += 1) deep = [deep];
const values = {
  'not a number': NaN, 'infinite inside': { a: [-Infinity] }, cyclic, 'too deep': deep,
  'half a character': '\ud800', 'no type of JSON': () => 1, 'no type of JSON inside': [1n],
};
exports.handler = async (event) => values[event];
"""

LONG = "exports.handler = (event) => 'x'.repeat(event);\n"

PRINTS = """
exports.handler = (event) => {
  for (let number = 0; number < event; number += 1) console.log(String(number).padStart(62, '0'));
};
"""

STREAMS = """
const { spawnSync } = require('child_process');
exports.handler = () => {
  console.log('to out');
  console.error('to err');
  spawnSync('sh', ['-c', 'echo child out; echo child err >&2'], { stdio: 'inherit' });
  process.stdout.write('unfinished line');
};
"""

PRINTS_AND_EXITS = "exports.handler = (event) => { console.log('x'.repeat(event)); process.exit(0); };\n"

LOADING_PRINTS = "console.log('loading');\nexports.handler = () => {};\n"

COUNTS = "let count = 0;\nexports.handler = () => { count += 1; return count; };\n"

RANDOM = "exports.handler = () => [Math.random(), require('crypto').randomUUID()];\n"

LEAVES_A_CHILD = """
const { spawn } = require('child_process');
exports.handler = () => {
  spawn('sleep', ['3600'], { detached: true, stdio: 'ignore' });
  return require('fs').readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map(Number);
};
"""

JUNK = """
const fs = require('fs');
exports.handler = (event) => {
  for (let fd = 3; fd < 64; fd += 1) {
    try {
      if (fs.fstatSync(fd).isSocket()) fs.writeSync(fd, Buffer.from(event));
    } catch {}
  }
  return 'done';
};
"""

CLOSES_EVERYTHING = """
const fs = require('fs');
exports.handler = () => {
  for (let fd = 0; fd < 100; fd += 1) {
    try {
      fs.closeSync(fd);
    } catch {}
  }
  return 1;
};
"""

DIES_LATER = "exports.handler = () => { setTimeout(process.exit, 50, 0); };\n"

LITTERS = """
const fs = require('fs');
exports.handler = () => {
  fs.writeFileSync('/tmp/a', 'x');
  fs.writeFileSync('/output/a', 'x');
  require('child_process').spawn('sleep', ['1000'], { detached: true });
};
"""

SLEEPS = "exports.handler = () => { console.log('begun'); return new Promise((end) => setTimeout(end, 1e6)); };\n"

HOG = """
const { execFileSync } = require('child_process');
require('v8').setFlagsFromString('--expose-gc'); // collects now: what is garbage would count for the next call
const collect = require('vm').runInNewContext('gc');
const use = (bytes) => new Uint8Array(new ArrayBuffer(bytes)).fill(1).length;
exports.handler = async (event) => {
  if (event.child) return execFileSync(process.execPath, ['-e', `Buffer.alloc(${event.mb} * 2 ** 20, 1)`]).length;
  const length = use(event.mb * 2 ** 20);
  await new Promise(setImmediate);
  collect();
  collect(); // waits for the first, which frees in the background
  return length;
};
"""

HOARDS = "const hoard = Buffer.alloc(200 * 2 ** 20, 1);\nexports.handler = () => hoard.length;\n"

FORK_BOMB = """
const { spawn } = require('child_process');
exports.handler = () => {
  let children = 0;
  for (let number = 0; number < 100; number += 1) {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    child.on('error', () => {});
    if (child.pid === undefined) return children;
    children += 1;
  }
  return children;
};
"""

WRITES = """
const fs = require('fs');
function attempt(path) {
  try {
    fs.writeFileSync(path, 'x');
    return null;
  } catch (error) {
    return error.code;
  }
}
exports.handler = (event) => Object.fromEntries(event.map((path) => [path, attempt(path)]));
"""

FILLS = """
const fs = require('fs');
exports.handler = (event) => {
  const file = fs.openSync(`${event}/large`, 'w');
  const piece = Buffer.alloc(2 ** 20);
  let written = 0;
  try {
    for (;;) written += fs.writeSync(file, piece);
  } catch (error) {
    return [written >> 20, error.code];
  }
};
"""

MESSES_UP = """
const fs = require('fs');
exports.handler = (event) => {
  fs.symlinkSync(event, '/output/link');
  fs.symlinkSync('/', '/output/root');
  fs.mkdirSync('/output/closed/inner', { recursive: true });
  fs.chmodSync('/output/closed', 0);
  process.chdir('/output');
  for (let depth = 0; depth < 1500; depth += 1) {
    fs.mkdirSync('d');
    require('process').chdir('d');
  }
};
"""

WHO = "exports.handler = () => [process.getuid(), process.getgid(), process.getgroups()];\n"

TICKS = "let ticks = 0;\nsetInterval(() => { ticks += 1; }, 1);\nexports.handler = () => ticks;\n"

FINDS = "exports.handler = (event) => require('child_process').spawnSync('find', event).stdout.toString();\n"

PROGRAM = """
const assert = require('assert');
if (require.main === module) {
  const event = JSON.parse(require('fs').readFileSync(0));
  assert.deepEqual(JSON.parse(process.env.PAYLOAD), event);
  console.log(process.env.JOB_ID, 'works on', event);
  console.log(JSON.stringify({ doubled: event * 2 }));
}
"""

PROGRAM_ENDS = """
console.log('so far');
const [way, code] = JSON.parse(require('fs').readFileSync(0));
if (way === 'raise') throw new TypeError('no');
({ exit: process.exit, 'at once': process.reallyExit, signal: (n) => process.kill(process.pid, n) })[way](code);
for (;;); // a signal takes a moment
"""

PROGRAM_PRINTS = "console.log('x'.repeat(JSON.parse(require('fs').readFileSync(0))));\nprocess.exit(0);\n"

# Faults that a function's author must be told: code, handler, part of the message.
UNLOADABLE = {
    "no such function": ("exports.handler = () => 1;", "main.hanlder", "module 'main' has no 'hanlder'"),
    "no such module": ("exports.handler = () => 1;", "mian.handler", "no module 'mian'; the code has: main.js"),
    "no module at all": ("exports.handler = () => 1;", "handler", "not of the form module.function"),
    "no function": ("exports.handler = 4;", "main.handler", "not a function but number"),
    "syntax": ("exports.handler = (", "main.handler", "SyntaxError"),
    "a program's syntax": ("if (", "main.handler", "SyntaxError"),
    "a missing import": ("require('nowhere');\nexports.handler = 1;", "main.handler", "Cannot find module 'nowhere'"),
    "it raises": ("null.x;\nexports.handler = () => 1;", "main.handler", "TypeError"),
    "it exits": ("process.exit(3);\nexports.handler = () => 1;", "main.handler", "status 3"),
}

IMPORT_RAISES = "const one = 1;\nnull.x;\nexports.handler = () => one;\n"
IMPORT_RAISED_AT = "(/code/main.js:2:6)"

PACKAGE = {
    "app/views.js": "const { one } = require('./rest');\nexports.work = () => one();\n",
    "app/rest.js": "exports.one = () => 1;\n",
}

SHADOWS = {
    "wire.js": "exports.mine = () => 'mine';\n",
    "main.js": "const wire = require('./wire');\nexports.handler = () => wire.mine();\n",
}

READS = "exports.handler = () => require('fs').readFileSync('data/words.txt', 'utf8');\n"

LOADS_FOREVER = "for (;;);\nexports.handler = () => 1;\n"
