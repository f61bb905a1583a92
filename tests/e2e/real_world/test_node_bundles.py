"""Node as people bring it: from Lambda and SAM, as TypeScript was compiled, ES modules, npm projects, scripts."""

import io
import zipfile
from typing import Any

import pytest

from support.grid import Grid

pytestmark = pytest.mark.backends("embedded")  # the language is the executor's affair, whatever the backends


def packed(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


def called(grid: Grid, code: str | dict[str, str], payload: Any = None, name: str = "index.js", **fields: Any) -> Any:
    """Upload and run, and return the job."""
    source: str | bytes = code if isinstance(code, str) else packed(code)
    name = name if isinstance(code, str) else "code.zip"
    return grid.run(grid.upload(source, name, runtime="nodejs", **fields), payload)


SAM = """
exports.lambdaHandler = async (event, context) => {
  return { statusCode: 200, body: JSON.stringify({ message: 'hello world', request: context.awsRequestId }) };
};
"""

COMPILED = """
"use strict";
var __createBinding = (this && this.__createBinding) || function (o, m, k) { o[k] = m[k]; };
var __exportStar = (this && this.__exportStar) || function (m, exports) {
  for (var p in m) if (p !== "default" && !(p in exports)) __createBinding(exports, m, p);
};
Object.defineProperty(exports, "__esModule", { value: true });
__exportStar(require("./handlers/greet"), exports);
"""
GREET = """
"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.handler = void 0;
const handler = async (event) => `안녕, ${event.name}`;
exports.handler = handler;
"""

WORKS = """
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (!isMainThread) parentPort.postMessage(workerData.length);
exports.handler = (event) => new Promise((done, failed) => {
  new Worker(__filename, { workerData: event.name }).on('message', done).on('error', failed);
});
"""

FORKS = """
const { fork } = require('child_process');
exports.handler = (event) => new Promise((done) => {
  const child = fork(`${__dirname}/child.js`);
  child.on('message', done);
  child.send(event.name);
});
"""

STREAMS = """
const fs = require('fs');
const { Readable } = require('stream');
const { pipeline } = require('stream/promises');
const { createGzip, gunzipSync } = require('zlib');
exports.handler = async (event) => {
  const file = `${require('os').tmpdir()}/a.gz`;
  await pipeline(Readable.from([event.name]), createGzip(), fs.createWriteStream(file));
  return gunzipSync(fs.readFileSync(file)).toString();
};
"""

HANDLERS = {
    "the function of a SAM template": (SAM, 200),
    "an index that exports another file, as tsc writes it": (
        {"index.js": COMPILED, "handlers/greet.js": GREET},
        "안녕, 나노",
    ),
    "an ES module that a package.json with a byte order mark declares": (
        {
            "index.js": "import { one } from './one.js';\nconst two = await one();\nexport const handler = () => two;",
            "one.js": "export const one = async () => 2;",
            "package.json": '\ufeff{"type": "module"}',
        },
        2,
    ),
    "a wrapped handler": (
        (
            "const middy = (work) => Object.assign(work, { use: () => work });\n"
            "exports.handler = middy(async (event) => event.name).use();"
        ),
        "나노",
    ),
    "a handler in a class": (
        (
            "class App { #greeting = '안녕'; handler = async (event) => `${this.#greeting} ${event.name}`; }\n"
            "const app = new App();\nmodule.exports.handler = app.handler;"
        ),
        "안녕 나노",
    ),
    "an npm project": (
        {
            "index.js": "const { shout } = require('shouting');\nexports.handler = (event) => shout(event.name);",
            "node_modules/shouting/package.json": '{"name": "shouting", "main": "lib/index.js"}',
            "node_modules/shouting/lib/index.js": "exports.shout = (text) => `${text}!`;",
            "package.json": '{"name": "app", "dependencies": {"shouting": "1.0.0"}}',
        },
        "나노!",
    ),
    "an ES module loaded by CommonJS": (
        {
            "index.js": "exports.handler = async (event) => (await import('./late.mjs')).default(event.name);",
            "late.mjs": "export default (name) => name.length;",
        },
        2,
    ),
    "data beside the code": (
        {
            "index.js": "const { rate } = require('./rates.json');\nconst fs = require('fs');\n"
            "exports.handler = () => rate + fs.readFileSync(`${__dirname}/more.txt`, 'utf8').length;",
            "rates.json": '\ufeff{"rate": 3}',
            "more.txt": "four",
        },
        7,
    ),
    "a worker thread": (WORKS, 2),
    "a forked process": (
        {
            "index.js": FORKS,
            "child.js": "process.on('message', (text) => { process.send(text.length); process.disconnect(); });",
        },
        2,
    ),
    "a stream of a temporary file": (STREAMS, "나노"),
}


@pytest.mark.parametrize("situation", HANDLERS)
def test_a_handler_is_called(grid: Grid, situation: str) -> None:
    code, result = HANDLERS[situation]

    job = called(grid, code, {"name": "나노"})

    assert job["status"] == "completed", job
    got = job["result"]
    assert (got["statusCode"] if isinstance(got, dict) else got) == result


PROGRAMS = {
    "a script": ("console.log('hello'); console.log(JSON.stringify({ n: 1 }));", {"n": 1}),
    "a script that is also a library": (
        (
            "function main() { console.log(JSON.stringify([1, 2])); }\n"
            "if (require.main === module) main();\nmodule.exports = { main };"
        ),
        [1, 2],
    ),
    "a script as an ES module": (
        (
            "import { text } from 'node:stream/consumers';\n"
            "console.log(JSON.stringify(JSON.parse(await text(process.stdin)).name));"
        ),
        "나노",
    ),
    "a script with a first line for the shell": ("#!/usr/bin/env node\nconsole.log(3);", 3),
    "a pretty result": ("console.log(JSON.stringify({ a: [1, { b: null }] }, null, 2));", {"a": [1, {"b": None}]}),
    "an integer that JavaScript has no number for": ("console.log(`${2n ** 70n}`);", 2**70),
}


@pytest.mark.parametrize("situation", PROGRAMS)
def test_a_program_is_run(grid: Grid, situation: str) -> None:
    code, result = PROGRAMS[situation]
    name = "script.mjs" if "import " in code else "script.js"

    job = called(grid, code, {"name": "나노"}, name)

    assert (job["status"], job["result"]) == ("completed", result), job


MISTAKES = {
    "nothing exported": ("async function handler(event) { return 1; }", "InitError", "it exports nothing"),
    "another name exported": ("exports.main = async () => 1;", "InitError", "it exports: main"),
    "a function exported without a name": ("module.exports = async () => 1;", "InitError", "without a name"),
    "a typing error": ("exports.handler = async (event => 1;", "InitError", "SyntaxError"),
    "a dependency left out": ("const axios = require('axios');\nexports.handler = () => 1;", "InitError", "axios"),
    "an await forgotten": (
        (
            "exports.handler = async () => { Promise.reject(new RangeError('later'));"
            " await new Promise((done) => setTimeout(done, 5000)); };"
        ),
        "HandlerError",
        "RangeError: later",
    ),
    "a callback that nobody calls": ("exports.handler = () => new Promise(() => {});", "HandlerError", "never settles"),
    "a BigInt returned": ("exports.handler = () => 2n ** 70n;", "ResultInvalid", "BigInt"),
    "NaN returned": ("exports.handler = () => ({ mean: 0 / 0 });", "ResultInvalid", 'NaN at "mean"'),
    "a text thrown": ("exports.handler = () => { throw 'no way'; };", "HandlerError", "'no way' was thrown"),
    "half a character thrown": (
        "exports.handler = (event) => { throw new Error('no ' + '😀'[0]); };",
        "HandlerError",
        "Error: no ",
    ),
    "the process ended": ("exports.handler = () => process.exit(200);", "ExitError", "status 200"),
}


@pytest.mark.parametrize("situation", MISTAKES)
def test_a_mistake_is_answered_with_its_name(grid: Grid, situation: str) -> None:
    code, kind, says = MISTAKES[situation]

    job = called(grid, code)

    assert (job["status"], job["error"]["type"]) == ("failed", kind), job
    assert says in job["error"]["message"]


def test_variables_of_nodes_start_count_from_the_first_call(grid: Grid) -> None:
    code = "exports.handler = () => new Error().stack.split('\\n').length - 1;"
    function_id = grid.upload(code, "index.js", runtime="nodejs", env='{"NODE_OPTIONS": "--stack-trace-limit=1"}')

    assert [grid.run(function_id)["result"] for _ in range(2)] == [1, 1]


def test_the_process_has_a_user_and_knows_its_own_machine(grid: Grid) -> None:
    code = """
const http = require('http');
const os = require('os');
exports.handler = async () => {
  const server = http.createServer((request, response) => response.end('here')).listen(0, 'localhost');
  await new Promise((ready) => server.once('listening', ready));
  const answer = await fetch(`http://localhost:${server.address().port}`);
  server.close();
  return [await answer.text(), os.userInfo().username, os.homedir()];
};
"""
    assert called(grid, code)["result"] == ["here", "nanogrid", "/tmp"]
