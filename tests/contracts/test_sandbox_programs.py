"""What a compiled program's sandbox does: the event goes in, what it prints comes out, and nothing else gets away."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nanogrid.runtimes import Runtime
from services.executor.sandbox import CallError, Kind
from support.programs import CPP, GO, load_actor, require
from support.sandboxes import Bench, Called, Loaded, open_bench
from support.waiting import until

MB = 1 << 20
Load = Callable[..., Awaitable[Loaded]]


@pytest.fixture(params=[CPP, GO], ids=lambda runtime: runtime.name)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    require(request.param)
    return request.param


@pytest.fixture
def actor(runtime: Runtime, docker_bench: Bench, tmp_path: Path) -> Load:
    async def load(memory_mb: int = 256) -> Loaded:
        return await load_actor(docker_bench, tmp_path, runtime, memory_mb)

    return load


def last_line(called: Called) -> Any:
    assert called.result.error is None, called.result.error
    return json.loads(called.printed.out.splitlines()[-1])


async def test_the_event_goes_in_and_the_last_line_comes_out(actor: Load, runtime: Runtime) -> None:
    loaded = await actor()

    called = await loaded.call({"이름": '나노"그리드\\\n'}, job_id="job-ä")

    said = last_line(called)
    assert loaded.kind is Kind.PROGRAM
    assert said["event"] == {"이름": '나노"그리드\\\n'}
    assert said["job"] == "job-ä"
    assert said["colour"] == "파랑\n\"'\\"
    assert said["handler"] == f"main{runtime.suffixes[0]}"
    assert said["payload_bytes"] == said["stdin_bytes"] == said["file_bytes"]
    assert said["home"] == "/tmp"
    assert called.printed.err == "to err\n"
    assert called.printed.out.startswith("working\n")
    assert (called.result.result, called.result.exit_code, called.result.reusable) == (None, 0, True)


async def test_the_projects_other_files_are_in_the_working_directory(actor: Load) -> None:
    assert last_line(await (await actor()).call({}))["data"] == "자료"


async def test_an_event_too_large_for_a_variable_is_on_stdin_and_in_the_file(actor: Load) -> None:
    loaded = await actor()

    large = last_line(await loaded.call({"x": "x" * 3_000_000}))
    small = last_line(await loaded.call({}))

    assert large["stdin_bytes"] == large["file_bytes"] == 3_000_009
    assert large["payload_bytes"] == 0
    assert small["payload_bytes"] == 2


async def test_every_call_is_a_process_that_holds_nothing_of_ours(actor: Load) -> None:
    loaded = await actor()

    said = [last_line(await loaded.call({})) for _ in range(3)]

    assert [one["descriptors"] for one in said] == [0, 0, 0]
    assert said[0]["pids"] == said[2]["pids"] == 3  # PID 1, the resident runtime, the program


@pytest.mark.parametrize("code", [1, 3, 127])
async def test_an_exit_code_is_an_exit_error_and_the_sandbox_serves_on(actor: Load, code: int) -> None:
    loaded = await actor()

    called = await loaded.call({"do": "exit", "code": code})

    assert called.error == CallError("ExitError", f"the function's process exited with status {code}")
    assert called.result.exit_code == code
    assert called.result.reusable
    assert last_line(await loaded.call({}))["job"] == "job-1"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (2, "SIGINT"), (15, "SIGTERM")])
async def test_a_death_by_signal_is_an_exit_error_that_names_it(actor: Load, number: int, name: str) -> None:
    loaded = await actor()

    called = await loaded.call({"do": "signal", "number": number})

    assert called.error.type == "ExitError"
    assert name in called.error.message
    assert called.result.exit_code == 128 + number
    assert called.result.reusable


async def test_a_program_that_never_ends_times_out_with_everything_it_started(actor: Load) -> None:
    loaded = await actor()

    called = await loaded.call({"do": "hang"}, timeout_s=0.5)

    assert called.error == CallError("Timeout", "timed out after 0.5 s")
    assert called.printed.out == "begun\n"
    assert not called.result.reusable
    await until(lambda: not loaded.sandbox._group().pids())  # type: ignore[attr-defined]


async def test_nothing_a_call_starts_outlives_it(actor: Load) -> None:
    loaded = await actor()

    first, second = last_line(await loaded.call({"do": "leave"})), last_line(await loaded.call({"do": "leave"}))

    assert first == second


async def test_more_memory_than_the_limit_is_out_of_memory(actor: Load) -> None:
    loaded = await actor(memory_mb=64)

    called = await loaded.call({"do": "hog", "mb": 200})

    assert called.error.type == "OutOfMemory"
    assert "the limit is 64 MB" in called.error.message
    assert called.result.exit_code == 137


async def test_peak_memory_is_each_calls_own(actor: Load) -> None:
    loaded = await actor()

    large = (await loaded.call({"do": "hog", "mb": 100})).result.peak_memory_bytes
    small = (await loaded.call({"do": "hog", "mb": 1})).result.peak_memory_bytes

    assert 100 * MB < large < 160 * MB
    assert 1 * MB < small < 30 * MB


async def test_fifty_megabytes_of_print_are_all_heard(actor: Load) -> None:
    loaded = await actor()

    called = await loaded.call({"do": "print", "lines": 800_000}, timeout_s=None)

    assert called.result.error is None
    lines = called.printed.out.splitlines()
    assert (len(lines), lines[-1]) == (800_000, f"{799_999:062d}")


async def test_a_file_in_output_is_there_afterwards(actor: Load) -> None:
    loaded = await actor()

    called = await loaded.call({"do": "output", "path": "/output/인사.txt"})

    assert called.result.error is None
    assert (loaded.sandbox.output_dir / "인사.txt").read_text() == "안녕"


@pytest.mark.parametrize("path", ["/tmp/large", "/output/large"])
async def test_a_full_disk_is_no_space_left(runtime: Runtime, tmp_path: Path, path: str) -> None:
    async with open_bench("docker:", tmp_path, tmp_mb=48, output_mb=48) as bench:
        loaded = await load_actor(bench, tmp_path, runtime, memory_mb=64)

        written, error = last_line(await loaded.call({"do": "fill", "path": path}))

    assert 46 <= written <= 50
    assert error.lower() == "no space left on device"


async def test_what_is_not_an_executable_is_an_init_error(
    runtime: Runtime, docker_bench: Bench, tmp_path: Path
) -> None:
    loaded = await load_actor(docker_bench, tmp_path, runtime)
    program = Path(loaded.sandbox.output_dir.parent, "io", "program")
    program.unlink()
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)

    called = await loaded.call({})

    assert called.error.type == "InitError"
    assert "cannot be started" in called.error.message
