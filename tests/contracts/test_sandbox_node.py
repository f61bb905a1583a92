"""What only Node functions can do."""

import pytest

from services.executor.sandbox import CallError, Kind, Sandbox
from support.sandboxes import Bench
from support.waiting import until

LATE = """
const sleep = (ms) => new Promise((end) => setTimeout(end, ms));
exports.handler = async (event) => {
  if (event === 'rejection') Promise.reject(new TypeError('late'));
  if (event === 'exception') setTimeout(() => { throw new TypeError('late'); }, 1);
  if (event === 'no error') Promise.reject('late');
  await sleep(event === 'nothing' ? 0 : 3_600_000);
  return 'fine';
};
"""


@pytest.mark.parametrize(
    "files",
    [
        {"main.js": "exports.handler = function () { return 1; };"},
        {"main.js": "module.exports = { handler: async () => 1 };"},
        {"main.js": "const handler = () => 1;\nmodule.exports = { one: { two: 2 }, handler };"},
        {"main.js": "module.exports = require('./other');", "other.js": "exports.handler = () => 1;"},
        {"main.js": "'use strict';\nexports['handler'] = () => 1;"},
        {"main.mjs": "export const handler = async () => 1;"},
        {"main.mjs": "export async function handler() { return 1; }"},
        {"main.mjs": "export { work as handler } from './other.mjs';", "other.mjs": "export const work = () => 1;"},
        {"main.mjs": "export * from './other.mjs';", "other.mjs": "export const handler = () => 1;"},
        {"main.mjs": "const one = await Promise.resolve(1);\nexport default { handler: () => one };"},
        {"main.js": "export const handler = () => 1;", "package.json": '{"type": "module"}'},
        {"main/index.js": "exports.handler = () => 1;"},
        {
            "main.js": "const one = require('one');\nexports.handler = () => one;",
            "node_modules/one/index.js": "module.exports = 1;",
        },
    ],
)
async def test_any_export_of_handler_is_a_handler(node_bench: Bench, files: dict[str, str]) -> None:
    loaded = await node_bench.load(files)

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call()).value == 1


async def test_an_es_module_may_be_a_program(node_bench: Bench) -> None:
    code = "import { readFile } from 'node:fs/promises';\nconsole.log(`${await readFile('/dev/stdin')}`);\n"
    loaded = await node_bench.load({"main.mjs": code})

    called = await loaded.call({"a": 1})

    assert loaded.kind is Kind.PROGRAM
    assert called.printed.out == '{"a": 1}\n'


async def test_nothing_returned_is_null(node_bench: Bench) -> None:
    loaded = await node_bench.load("exports.handler = () => {};")

    called = await loaded.call()

    assert called.result.error is None
    assert called.result.result == b"null"


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_nobody_catches_ends_the_call(node_bench: Bench, *, fresh: bool) -> None:
    loaded = await node_bench.load(LATE, fresh=fresh)

    for event in ("rejection", "exception"):
        called = await loaded.call(event)

        assert called.error.type == "HandlerError"
        assert called.error.message == "TypeError: late"
        assert "at " in called.error.stack
    assert "late" in (await loaded.call("no error")).error.message
    assert (await loaded.call("nothing")).value == "fine"


async def test_a_promise_that_can_never_settle_is_a_handler_error(node_bench: Bench) -> None:
    loaded = await node_bench.load("exports.handler = (event) => (event ? new Promise(() => {}) : 'fine');")

    called = await loaded.call(1, timeout_s=None)

    assert called.error.type == "HandlerError"
    assert "never settles" in called.error.message
    assert (await loaded.call(0)).value == "fine"


async def test_a_module_that_never_finishes_is_an_init_error(node_bench: Bench) -> None:
    loaded = await node_bench.load({"main.mjs": "await new Promise(() => {});\nexport const handler = () => 1;\n"})

    assert isinstance(loaded.kind, CallError)
    assert "never settles" in loaded.kind.message


async def test_what_is_thrown_need_not_be_an_error(node_bench: Bench) -> None:
    loaded = await node_bench.load("exports.handler = async (event) => { throw event; };")

    assert (await loaded.call("no")).error.message == "'no' was thrown, which is no Error"
    assert (await loaded.call(None)).error.message == "null was thrown, which is no Error"


async def test_errors_are_named_by_their_class_and_show_their_cause(node_bench: Bench) -> None:
    code = """
class NoColour extends Error {}
exports.handler = () => { throw new NoColour('blue', { cause: new RangeError('too blue') }); };
"""
    loaded = await node_bench.load(code)

    called = await loaded.call()

    assert called.error.message == "NoColour: blue"
    assert "Caused by: RangeError: too blue" in called.error.stack


async def test_what_a_handler_left_behind_goes_on_when_reused(node_bench: Bench) -> None:
    code = """
let done = 0;
exports.handler = async (event) => {
  if (event) setTimeout(() => { done += 1; }, 5);
  else await new Promise((end) => setTimeout(end, 20));
  return done;
};
"""
    loaded = await node_bench.load(code)

    assert [(await loaded.call(event)).value for event in (1, 0)] == [0, 1]


async def test_a_commonjs_file_with_exports_of_es_modules_says_what_to_do(node_bench: Bench) -> None:
    loaded = await node_bench.load("import fs from 'fs';\nexport const handler = () => 1;\nreturn 1;\n")

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "InitError"


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_forked_child_and_a_worker_do_not_wait_for_a_call(node_bench: Bench, *, fresh: bool) -> None:
    files = {
        "main.js": """
const { once } = require('events');
const { fork } = require('child_process');
const { Worker } = require('worker_threads');
exports.handler = async () => [
  (await once(fork('./child.js'), 'message'))[0], (await once(new Worker('./worker.js'), 'message'))[0],
];
""",
        "child.js": "process.send(process.env.PAYLOAD);",
        "worker.js": "require('worker_threads').parentPort.postMessage('worked');",
    }
    loaded = await node_bench.load(files, fresh=fresh)

    assert (await loaded.call(1)).value == ["1", "worked"]


async def test_a_program_may_fork_and_have_workers(node_bench: Bench) -> None:
    files = {
        "main.js": """
const { fork } = require('child_process');
const { Worker } = require('worker_threads');
if (process.argv[2] === 'child') process.send('forked');
else {
  fork(__filename, ['child']).on('message', (said) => console.log(said));
  new Worker('./worker.js').on('message', (said) => console.log(said));
}
""",
        "worker.js": "require('worker_threads').parentPort.postMessage('worked');",
    }
    loaded = await node_bench.load(files)

    called = await loaded.call(1)

    assert sorted(called.printed.out.split()) == ["forked", "worked"]


async def test_garbage_does_not_count_as_needed_memory(node_bench: Bench) -> None:
    code = """
const live = [];
for (let n = 0; n < 50_000; n += 1) live.push({ n, text: 'x' + n });
exports.handler = () => {
  let made = 0;
  for (let round = 0; round < 40; round += 1) {
    const garbage = [];
    for (let n = 0; n < 50_000; n += 1) garbage.push({ n, list: [n] });
    made += garbage.length;
  }
  return made;
};
"""
    loaded = await node_bench.load(code, memory_mb=96)

    assert (await loaded.call()).value == 2_000_000


async def test_a_fresh_child_that_cannot_be_loaded_fails_one_call(node_bench: Bench) -> None:
    code = """
const fs = require('fs');
const number = fs.existsSync('/tmp/number') ? Number(fs.readFileSync('/tmp/number')) + 1 : 1;
fs.writeFileSync('/tmp/number', String(number));
if (number === 2) throw new TypeError('the second');
if (number === 3) process.exit(4);
exports.handler = () => number;
"""
    loaded = await node_bench.load(code, fresh=True)

    first, second, third, fourth = [await loaded.call() for _ in range(4)]

    assert (first.value, fourth.value) == (1, 4)
    assert (second.error.type, second.error.message) == ("InitError", "TypeError: the second")
    assert third.error == CallError("InitError", "the function exited while it was loaded (status 4)")


async def test_a_fresh_child_that_ended_while_it_waited_is_replaced(node_bench: Bench) -> None:
    code = """
const fs = require('fs');
if (!fs.existsSync('/tmp/first')) {
  fs.writeFileSync('/tmp/first', '');
  setTimeout(process.exit, 20);
}
exports.handler = () => 1;
"""
    generic = await node_bench.provider.create(node_bench.runtime)
    loaded = await node_bench.load(code, fresh=True)

    await until(lambda: len(pids(loaded.sandbox)) == len(pids(generic)))

    assert (await loaded.call()).value == 1


def pids(sandbox: Sandbox) -> list[int]:
    return sandbox._group().pids()  # type: ignore[attr-defined]
