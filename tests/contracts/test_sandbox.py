"""What every sandbox does with a function in any language: call it, hear what it prints, survive what it does."""

import json

import pytest

from nanogrid.limits import MAX_PAYLOAD_BYTES
from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench
from support.waiting import until


async def test_the_return_value_is_the_result(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.ECHO)

    called = await loaded.call({"a": 1}, job_id="job-7")

    assert loaded.kind is Kind.HANDLER
    assert called.value == {"event": {"a": 1}, "job": "job-7"}
    assert called.result.exit_code is None
    assert called.result.reusable


async def test_korean_goes_in_and_comes_out(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.KOREAN)

    called = await loaded.call({"이름": "나노그리드"})

    assert called.value == "안녕, 나노그리드"
    assert called.printed.out == "나노그리드\n"
    assert "안녕".encode() in (called.result.result or b"")


async def test_an_asynchronous_handler_is_awaited(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.ASYNC)

    assert [(await loaded.call(number)).value for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("fresh", [False, True])
async def test_the_environment_of_a_call(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.ENVIRONMENT, env={"COLOUR": "blue", "JOB_ID": "not this"}, fresh=fresh)

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
    loaded = await bench.load(bench.sources.LARGE_PAYLOAD)

    called = await loaded.call("x" * 3_000_000)

    assert called.value == [3_000_000, "", 3_000_002]


async def test_what_is_raised_is_a_handler_error_with_the_functions_own_stack(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.RAISES)

    called = await loaded.call()

    assert called.error.type == "HandlerError"
    assert called.error.message == bench.sources.RAISED
    assert bench.sources.RAISED_AT in called.error.stack
    assert "runtime" not in called.error.stack
    assert "/opt/nanogrid" not in called.error.stack
    assert called.result.reusable


async def test_endless_recursion_is_a_handler_error(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.RECURSES)

    called = await loaded.call()

    assert called.error.type == "HandlerError"
    assert called.error.message.startswith(bench.sources.RECURSED)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(("way", "code"), [("exit", 0), ("exit", 3), ("at once", 0), ("at once", 7), ("signal", 9)])
async def test_ending_the_process_is_an_exit_error(bench: Bench, way: str, code: int, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.ENDS, fresh=fresh)

    called = await loaded.call([way, code])

    assert called.error.type == "ExitError"
    assert called.result.exit_code == (128 + code if way == "signal" else code)
    assert called.result.reusable is fresh


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_call_that_never_returns_times_out_with_everything_it_started(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.HANGS, fresh=fresh)

    called = await loaded.call(timeout_s=0.5)

    assert called.error == CallError("Timeout", "timed out after 0.5 s")
    assert called.printed.out == "begun\n"
    assert called.result.duration_ms >= 500
    assert not called.result.reusable
    await until(lambda: not loaded.sandbox._group().pids())  # type: ignore[attr-defined]


async def test_remaining_time_counts_down_to_the_limit(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.REMAINING)

    limited, unlimited = await loaded.call(timeout_s=1_000), await loaded.call(timeout_s=None)

    assert 500_000 < limited.value <= 1_000_000
    assert unlimited.value > 10**9


async def test_what_is_not_json_is_an_invalid_result(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.INVALID)
    values = ["not a number", "infinite inside", "cyclic", "too deep", "half a character"]

    for value in (*values, "no type of JSON", "no type of JSON inside"):
        called = await loaded.call(value)

        assert called.error.type == "ResultInvalid", value
        assert called.result.result is None
        assert called.result.reusable


async def test_a_result_over_the_limit_is_invalid_and_both_numbers_are_said(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.LONG, memory_mb=512)

    too_large = await loaded.call(MAX_PAYLOAD_BYTES - 1)
    fits = await loaded.call(MAX_PAYLOAD_BYTES - 2)

    assert too_large.error.type == "ResultInvalid"
    assert "32000001" in too_large.error.message
    assert "32000000" in too_large.error.message
    assert len(fits.value) == MAX_PAYLOAD_BYTES - 2


async def test_fifty_megabytes_of_print_are_all_heard(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.PRINTS)

    called = await loaded.call(800_000, timeout_s=None)

    lines = called.printed.out.splitlines()
    assert len(lines) == 800_000
    assert lines[-1] == f"{799_999:062d}"


async def test_stdout_stderr_and_children_are_heard_apart(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.STREAMS)

    called = await loaded.call()

    assert called.printed.out == "to out\nchild out\nunfinished line"
    assert called.printed.err == "to err\nchild err\n"


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_was_printed_before_an_exit_is_heard(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.PRINTS_AND_EXITS, fresh=fresh)

    called = await loaded.call(3_000_000)

    assert len(called.printed.out) == 3_000_001


async def test_output_while_loading_is_heard(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.LOADING_PRINTS)

    assert loaded.printed.out == "loading\n"


async def test_globals_persist_when_reused_and_not_when_fresh(bench: Bench) -> None:
    reused, fresh = await bench.load(bench.sources.COUNTS), await bench.load(bench.sources.COUNTS, fresh=True)

    assert [(await reused.call()).value for _ in range(3)] == [1, 2, 3]
    assert [(await fresh.call()).value for _ in range(3)] == [1, 1, 1]


async def test_fresh_calls_do_not_share_their_randomness(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.RANDOM, fresh=True)

    first, second = (await loaded.call()).value, (await loaded.call()).value

    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_nothing_a_fresh_call_starts_outlives_it(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.LEAVES_A_CHILD, fresh=True)

    first, second = (await loaded.call()).value, (await loaded.call()).value

    assert len(first) == len(second)


async def test_the_result_is_passed_on_as_it_was_written(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.IDENTITY)

    called = await loaded.call({"b": 1.5, "a": [None, True]})

    assert json.loads(called.result.result or b"") == {"b": 1.5, "a": [None, True]}
