"""Every image there is serves its runtime: the suite's essentials, and nothing in it that gives rights."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.sandbox import Kind
from support.sandboxes import NODE, PYTHON, Bench, absent, open_bench
from support.sources import SOURCES

BUILT_BY_SETUP = {PYTHON.name, NODE.name}


def _images() -> list[Runtime]:
    """Those that `make setup` builds, whether they are there or not, and whichever others are."""
    tested = [runtime for runtime in RUNTIMES.values() if runtime.language in SOURCES]
    return [one for one in tested if one.name in BUILT_BY_SETUP or absent("docker:", one) is None]


@pytest.fixture(params=_images(), ids=lambda one: one.name)
async def image(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    runtime: Runtime = request.param
    if (missing := absent("docker:", runtime)) is not None and os.environ.get("CI") != "true":
        pytest.skip(missing)
    async with open_bench("docker:", tmp_path, runtime) as bench:
        yield bench


async def test_its_version_is_the_one_it_is_called_after(image: Bench) -> None:
    loaded = await image.load(image.sources.VERSION)

    version = (await loaded.call()).value

    assert version.startswith(image.runtime.name.removeprefix(image.runtime.language).removeprefix("js").rstrip("x"))


@pytest.mark.parametrize("fresh", [False, True])
async def test_it_serves_handlers(image: Bench, *, fresh: bool) -> None:
    loaded = await image.load(image.sources.ECHO, fresh=fresh)

    for number in (1, 2):
        assert (await loaded.call({"이름": number}, job_id="job-7")).value == {
            "event": {"이름": number},
            "job": "job-7",
        }


async def test_it_serves_asynchronous_handlers_and_their_failures(image: Bench) -> None:
    awaited, raises = await image.load(image.sources.ASYNC), await image.load(image.sources.RAISES)

    assert (await awaited.call("fine")).value == "fine"
    error = (await raises.call()).error
    assert error.message == image.sources.RAISED
    assert image.sources.RAISED_AT in error.stack
    assert "/opt/nanogrid" not in error.stack


async def test_it_runs_programs(image: Bench) -> None:
    loaded = await image.load(image.sources.PROGRAM)

    called = await loaded.call(4)

    assert loaded.kind is Kind.PROGRAM
    assert called.result.error is None
    assert called.printed.out.splitlines()[-1].replace(" ", "") == '{"doubled":8}'


async def test_it_has_nothing_that_is_setuid(image: Bench) -> None:
    loaded = await image.load(image.sources.FINDS)

    assert (await loaded.call(["/", "-xdev", "-perm", "/6000", "-type", "f"])).value == ""
    assert (await loaded.call(["/sbin/nanogrid-init"])).value == "/sbin/nanogrid-init\n"
