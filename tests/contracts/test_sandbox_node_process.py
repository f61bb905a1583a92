"""A Node function's process: its variables, the output of C code in it, how it ends, and how its errors travel."""

import pytest

from services.executor.sandbox import Kind
from support.sandboxes import Bench

# V8 prints its trace through C's streams.
TRACES = """
const v8 = require('node:v8');
v8.setFlagsFromString('--expose-gc');
const gc = require('node:vm').runInNewContext('gc');
exports.handler = (traced) => {
  v8.setFlagsFromString(traced ? '--trace-gc' : '--no-trace-gc');
  gc();
};
"""

ENVIRONMENT = """
const { execFileSync } = require('node:child_process');
let calls = 0;
exports.handler = ([...names]) => {
  calls += 1;
  const inherited = execFileSync('env').toString().split('\\n').map((line) => line.split('=')[0]);
  return [calls, process.execArgv.length, names.map((name) => process.env[name]),
    inherited.filter((name) => /PRELOAD|STDBUF/.test(name)), new Error().stack.split('\\n').length];
};
"""


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("env", [{}, {"UV_THREADPOOL_SIZE": "2"}])
async def test_what_c_code_prints_belongs_to_its_call(node_bench: Bench, env: dict[str, str], *, fresh: bool) -> None:
    loaded = await node_bench.load(TRACES, fresh=fresh, env=env)

    printed = [(await loaded.call(traced)).printed.out for traced in (True, False)]

    assert "Mark-" in printed[0]
    assert printed[1] == ""


@pytest.mark.parametrize("fresh", [False, True])
async def test_variables_that_count_at_the_start_of_a_process_count(node_bench: Bench, *, fresh: bool) -> None:
    env = {"NODE_OPTIONS": "--stack-trace-limit=3", "COLOUR": "blue"}
    loaded = await node_bench.load(ENVIRONMENT, fresh=fresh, env=env)

    first, second = [(await loaded.call(["NODE_OPTIONS", "COLOUR"])).value for _ in range(2)]

    assert loaded.kind is Kind.HANDLER
    assert first == [1, first[1], ["--stack-trace-limit=3", "blue"], [], 4]
    assert second == [1 if fresh else 2, *first[1:]]


@pytest.mark.parametrize(
    ("way", "code", "says"),
    [
        ("process.exit(200)", 200, "exited"),
        ("process.exit(-1)", 255, "exited"),
        ("process.kill(process.pid, 'SIGKILL')", 137, "killed by SIGKILL"),
    ],
)
async def test_a_process_of_its_own_ends_as_any(node_bench: Bench, way: str, code: int, says: str) -> None:
    loaded = await node_bench.load(f"exports.handler = () => {{ {way}; for (;;); }};", env={"UV_THREADPOOL_SIZE": "2"})

    called = await loaded.call()

    assert called.error.type == "ExitError"
    assert called.result.exit_code == code
    assert says in called.error.message


async def test_options_that_node_refuses_are_told(node_bench: Bench) -> None:
    loaded = await node_bench.load("exports.handler = () => 1;", env={"NODE_OPTIONS": "--no-such-option"})

    assert loaded.kind.type == "InitError"
    assert "no-such-option" in loaded.printed.err


@pytest.mark.parametrize("fresh", [False, True])
async def test_an_exit_status_is_no_signal(node_bench: Bench, *, fresh: bool) -> None:
    loaded = await node_bench.load("exports.handler = () => process.exit(137);", fresh=fresh)

    called = await loaded.call()

    assert (called.error.type, called.result.exit_code) == ("ExitError", 137)
    assert "signal" not in called.error.message


TEXTS = (
    r"'\ud83d'",
    r"'\ude00 tail'",
    r"'x'.repeat(8170) + '\ud83d\ude00'.repeat(20)",
    r"'한'.repeat(1e6)",
    r"'\u0000'.repeat(1e6)",
)


@pytest.mark.parametrize("text", TEXTS)
async def test_an_error_text_may_be_of_any_length_and_script(node_bench: Bench, text: str) -> None:
    code = f"exports.handler = () => {{ JSON.stringify = () => '{{'; throw new TypeError({text}); }};"
    loaded = await node_bench.load(code)

    called = await loaded.call()

    assert called.error.type == "HandlerError"
    assert called.error.message.startswith("TypeError: ")
    assert (called.error.message + called.error.stack).encode()


CONTEXT = """
exports.handler = (event, context) => ({
  ...context, left: context.getRemainingTimeInMillis() > 0,
  undefined: ['identity', 'clientContext'].filter((name) => name in context && context[name] === undefined),
});
"""


async def test_the_context_has_what_lambdas_has(node_bench: Bench) -> None:
    loaded = await node_bench.load(CONTEXT, env={"AWS_REGION": "ap-northeast-2"})

    assert (await loaded.call()).value == {
        "job_id": "job-1",
        "jobId": "job-1",
        "awsRequestId": "job-1",
        "functionId": "function-1",
        "functionName": "function-1",
        "functionVersion": "$LATEST",
        "invokedFunctionArn": "arn:aws:lambda:ap-northeast-2:000000000000:function:function-1",
        "memoryLimitInMB": "256",
        "logGroupName": "/nanogrid/functions/function-1",
        "logStreamName": "job-1",
        "callbackWaitsForEmptyEventLoop": False,
        "left": True,
        "undefined": ["identity", "clientContext"],
    }


async def test_user_and_names_are_there(node_bench: Bench) -> None:
    code = """
const os = require('node:os');
const dns = require('node:dns').promises;
exports.handler = async () => {
  const names = await Promise.all(['localhost', os.hostname()].map((name) => dns.lookup(name, { family: 4 })));
  return [os.userInfo().username.length > 0, names.map(({ address }) => address.split('.')[0])];
};
"""
    loaded = await node_bench.load(code)

    assert (await loaded.call()).value == [True, ["127", "127"]]
