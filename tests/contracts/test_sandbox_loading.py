"""What a handler's name may mean: a function, a program, or a mistake that its author is told about."""

import json

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench, OpenBench
from support.sources import python


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_module_without_its_handler_is_run_as_a_program(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.PROGRAM, fresh=fresh)

    for number in (21, 4):
        called = await loaded.call(number, job_id=f"job-{number}")

        assert called.result.error is None
        assert called.result.exit_code == 0
        assert called.result.result is None
        first, last = called.printed.out.splitlines()
        assert first == f"job-{number} works on {number}"
        assert json.loads(last) == {"doubled": number * 2}
    assert loaded.kind is Kind.PROGRAM


@pytest.mark.parametrize(
    ("way", "code", "status"), [("exit", 4, 4), ("at once", 5, 5), ("signal", 6, 134), ("raise", 0, 1)]
)
async def test_a_program_that_does_not_exit_with_0_is_an_exit_error(
    bench: Bench, way: str, code: int, status: int
) -> None:
    loaded = await bench.load(bench.sources.PROGRAM_ENDS)

    called = await loaded.call([way, code])

    assert called.error.type == "ExitError"
    assert called.result.exit_code == status
    assert called.printed.out == "so far\n"
    assert "/opt/nanogrid" not in called.printed.err
    assert called.result.reusable


async def test_a_program_may_exit_with_0_and_all_it_printed_is_heard(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.PROGRAM_PRINTS)

    called = await loaded.call(3_000_000)

    assert called.result.error is None
    assert called.result.exit_code == 0
    assert len(called.printed.out) == 3_000_001


@pytest.mark.parametrize("mistake", python.UNLOADABLE)
async def test_what_cannot_be_loaded_is_an_init_error(bench: Bench, mistake: str) -> None:
    code, handler, said = bench.sources.UNLOADABLE[mistake]
    loaded = await bench.load(code, handler=handler)

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "InitError"
    assert said in loaded.kind.message
    assert "/opt/nanogrid" not in loaded.kind.stack


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_module_that_fails_shows_its_line(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.IMPORT_RAISES, fresh=fresh)

    assert isinstance(loaded.kind, CallError)
    assert bench.sources.IMPORT_RAISED_AT in loaded.kind.stack


@pytest.mark.parametrize("handler", ["app.views.work", "app/views.work"])
async def test_a_handler_may_be_in_a_folder(bench: Bench, handler: str) -> None:
    loaded = await bench.load(bench.sources.PACKAGE, handler=handler)

    assert (await loaded.call()).value == 1


async def test_the_functions_modules_win_over_the_runtimes_own(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.SHADOWS)

    assert (await loaded.call()).value == "mine"


async def test_the_code_is_under_the_feet(bench: Bench) -> None:
    loaded = await bench.load({bench.sources.MAIN: bench.sources.READS, "data/words.txt": "한글"})

    assert (await loaded.call()).value == "한글"


@pytest.mark.parametrize("fresh", [False, True])
async def test_loading_forever_is_an_init_error(opened: OpenBench, *, fresh: bool) -> None:
    async with opened(init_timeout_s=0.3) as bench:
        loaded = await bench.load(bench.sources.LOADS_FOREVER, fresh=fresh)

    assert loaded.kind == CallError("InitError", "while loading: timed out after 0.3 s")
