"""What every sandbox does with a function: call it, hear what it prints, survive what it does."""

import json

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench
from support.waiting import until

ECHO = "def handler(event, context):\n    return {'event': event, 'job': context.job_id}\n"


async def test_the_return_value_is_the_result(bench: Bench) -> None:
    loaded = await bench.load(ECHO)

    called = await loaded.call({"a": 1}, job_id="job-7")

    assert loaded.kind is Kind.HANDLER
    assert called.value == {"event": {"a": 1}, "job": "job-7"}
    assert called.result.exit_code is None
    assert called.result.reusable


async def test_korean_goes_in_and_comes_out(bench: Bench) -> None:
    code = "def handler(event, context):\n    print(event['이름'])\n    return '안녕, ' + event['이름']\n"
    loaded = await bench.load(code)

    called = await loaded.call({"이름": "나노그리드"})

    assert called.value == "안녕, 나노그리드"
    assert called.printed.out == "나노그리드\n"
    assert "안녕".encode() in (called.result.result or b"")


async def test_a_coroutine_handler_is_awaited_on_one_loop(bench: Bench) -> None:
    code = """
import asyncio
async def handler(event, context):
    await asyncio.sleep(0)
    return id(asyncio.get_running_loop())
"""
    loaded = await bench.load(code)

    first, second = await loaded.call(), await loaded.call()

    assert first.value == second.value


@pytest.mark.parametrize("fresh", [False, True])
async def test_the_environment_of_a_call(bench: Bench, *, fresh: bool) -> None:
    code = """
import os, subprocess
def handler(event, context):
    names = ["HANDLER", "JOB_ID", "PAYLOAD", "COLOUR", "AI_ENDPOINT"]
    child = subprocess.run(["sh", "-c", "printf %s,%s $JOB_ID $PAYLOAD"], capture_output=True, text=True).stdout
    with open(os.environ["PAYLOAD_FILE"]) as file:
        payload_file = file.read()
    return {"env": {name: os.environ[name] for name in names}, "file": payload_file, "child": child}
"""
    loaded = await bench.load(code, env={"COLOUR": "blue", "JOB_ID": "not this"}, fresh=fresh)

    await loaded.call("a longer one before", job_id="job-before")
    called = await loaded.call("x", job_id="job-9")

    env = called.value["env"]
    assert env["HANDLER"] == "main.handler"
    assert env["JOB_ID"] == "job-9"
    assert env["PAYLOAD"] == '"x"'
    assert env["COLOUR"] == "blue"
    assert called.value["file"] == '"x"'
    assert called.value["child"] == 'job-9,"x"'


async def test_a_payload_too_large_for_a_variable_is_in_the_file(bench: Bench) -> None:
    code = """
import os
def handler(event, context):
    return [len(event), os.environ["PAYLOAD"], os.path.getsize(os.environ["PAYLOAD_FILE"])]
"""
    loaded = await bench.load(code)

    called = await loaded.call("x" * 3_000_000)

    assert called.value == [3_000_000, "", 3_000_002]


async def test_an_exception_is_a_handler_error_with_the_functions_own_stack(bench: Bench) -> None:
    code = "def deeper():\n    raise ValueError('no such colour')\ndef handler(event, context):\n    deeper()\n"
    loaded = await bench.load(code)

    called = await loaded.call()

    assert called.error.type == "HandlerError"
    assert called.error.message == "ValueError: no such colour"
    assert 'File "/code/main.py", line 4, in handler' in called.error.stack
    assert "nanogrid_runtime" not in called.error.stack
    assert called.result.reusable


async def test_endless_recursion_is_a_handler_error(bench: Bench) -> None:
    loaded = await bench.load("def handler(event, context):\n    return handler(event, context)\n")

    called = await loaded.call()

    assert called.error.message.startswith("RecursionError")


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("statement", "code"),
    [("sys.exit(0)", 0), ("sys.exit(3)", 3), ("os._exit(0)", 0), ("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", 137)],
)
async def test_ending_the_process_is_an_exit_error(bench: Bench, statement: str, code: int, *, fresh: bool) -> None:
    loaded = await bench.load(f"import os, sys\ndef handler(event, context):\n    {statement}\n", fresh=fresh)

    called = await loaded.call()

    assert called.error.type == "ExitError"
    assert called.result.exit_code == code
    assert called.result.reusable is fresh


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_call_that_never_returns_times_out_with_everything_it_started(bench: Bench, *, fresh: bool) -> None:
    code = """
import subprocess, time
def handler(event, context):
    subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], start_new_session=True)
    print("begun", flush=True)
    time.sleep(3600)
"""
    loaded = await bench.load(code, fresh=fresh)

    called = await loaded.call(timeout_s=0.5)

    assert called.error == CallError("Timeout", "timed out after 0.5 s")
    assert called.printed.out == "begun\n"
    assert called.result.duration_ms < 2_500
    assert not called.result.reusable
    await until(lambda: not loaded.sandbox._group().pids())  # type: ignore[attr-defined]


async def test_remaining_time_counts_down_to_the_limit(bench: Bench) -> None:
    loaded = await bench.load("def handler(event, context):\n    return context.get_remaining_time_in_millis()\n")

    limited, unlimited = await loaded.call(timeout_s=10), await loaded.call(timeout_s=None)

    assert 5_000 < limited.value <= 10_000
    assert unlimited.value > 10**9


@pytest.mark.parametrize(
    "value",
    ["object()", "float('nan')", "{'a': float('inf')}", "cyclic", "'\\ud800'", "{1, 2}", "deep", "b'bytes'"],
)
async def test_what_is_not_json_is_an_invalid_result(bench: Bench, value: str) -> None:
    code = f"""
cyclic = []
cyclic.append(cyclic)
deep = []
for _ in range(5000):
    deep = [deep]
def handler(event, context):
    return {value}
"""
    loaded = await bench.load(code)

    called = await loaded.call()

    assert called.error.type == "ResultInvalid"
    assert called.result.result is None
    assert called.result.reusable


async def test_a_result_over_the_limit_is_invalid_and_both_numbers_are_said(bench: Bench) -> None:
    loaded = await bench.load("def handler(event, context):\n    return 'x' * event\n", memory_mb=512)

    too_large = await loaded.call(32 * 1024 * 1024)
    fits = await loaded.call(32 * 1024 * 1024 - 2)

    assert too_large.error.type == "ResultInvalid"
    assert "33554434" in too_large.error.message
    assert "33554432" in too_large.error.message
    assert len(fits.value) == 32 * 1024 * 1024 - 2


async def test_fifty_megabytes_of_print_are_all_heard(bench: Bench) -> None:
    code = """
def handler(event, context):
    for number in range(800_000):
        print(f"{number:062d}")
"""
    loaded = await bench.load(code)

    called = await loaded.call(timeout_s=60)

    lines = called.printed.out.splitlines()
    assert len(lines) == 800_000
    assert lines[-1] == f"{799_999:062d}"


async def test_stdout_stderr_and_children_are_heard_apart(bench: Bench) -> None:
    code = """
import subprocess, sys
def handler(event, context):
    print("to out")
    print("to err", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo child out; echo child err >&2"])
    sys.stdout.write("unfinished line")
"""
    loaded = await bench.load(code)

    called = await loaded.call()

    assert called.printed.out == "to out\nchild out\nunfinished line"
    assert called.printed.err == "to err\nchild err\n"


async def test_output_while_loading_is_heard(bench: Bench) -> None:
    loaded = await bench.load("print('loading')\ndef handler(event, context): pass\n")

    assert loaded.printed.out == "loading\n"


async def test_globals_persist_when_reused_and_not_when_fresh(bench: Bench) -> None:
    code = "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n"
    reused, fresh = await bench.load(code), await bench.load(code, fresh=True)

    assert [(await reused.call()).value for _ in range(3)] == [1, 2, 3]
    assert [(await fresh.call()).value for _ in range(3)] == [1, 1, 1]


async def test_fresh_calls_do_not_share_their_randomness(bench: Bench) -> None:
    code = "import random, uuid\ndef handler(event, context):\n    return [random.random(), str(uuid.uuid4())]\n"
    loaded = await bench.load(code, fresh=True)

    first, second = (await loaded.call()).value, (await loaded.call()).value

    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_nothing_a_fresh_call_starts_outlives_it(bench: Bench) -> None:
    code = """
import os, subprocess
def handler(event, context):
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    return sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit())
"""
    loaded = await bench.load(code, fresh=True)

    first, second = (await loaded.call()).value, (await loaded.call()).value

    assert len(first) == len(second)


async def test_the_result_is_passed_on_as_it_was_written(bench: Bench) -> None:
    loaded = await bench.load("def handler(event, context):\n    return {'b': 1.5, 'a': [None, True]}\n")

    called = await loaded.call()

    assert json.loads(called.result.result or b"") == {"b": 1.5, "a": [None, True]}
