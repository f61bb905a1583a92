"""What a sandbox may use, and what it cannot reach."""

import asyncio
from pathlib import Path

import pytest

from services.executor.sandbox import CallError
from support.sandboxes import Bench, OpenBench

MB = 1 << 20


@pytest.mark.parametrize("fresh", [False, True])
async def test_more_memory_than_the_limit_is_out_of_memory(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.HOG, memory_mb=64, fresh=fresh)

    called = await loaded.call({"mb": 200})

    assert called.error.type == "OutOfMemory"
    assert "the limit is 64 MB" in called.error.message
    assert called.result.exit_code == 137
    assert 55 * MB < called.result.peak_memory_bytes <= 64 * MB
    assert not called.result.reusable


async def test_a_child_that_needs_too_much_memory_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.HOG, memory_mb=64)

    called = await loaded.call({"mb": 200, "child": True})

    assert called.error.type == "OutOfMemory"


async def test_loading_more_than_the_limit_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.HOARDS, memory_mb=64)

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "OutOfMemory"


async def test_memory_that_no_machine_has_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.HOG, memory_mb=64)

    called = await loaded.call({"mb": 1 << 30})

    assert called.error.type == "OutOfMemory"


@pytest.mark.parametrize("fresh", [False, True])
async def test_peak_memory_is_each_calls_own(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(bench.sources.HOG, memory_mb=256, fresh=fresh)

    large = (await loaded.call({"mb": 100})).result.peak_memory_bytes
    small = (await loaded.call({"mb": 1})).result.peak_memory_bytes

    assert 100 * MB < large < 160 * MB
    assert 1 * MB < small < 60 * MB


async def test_more_memory_than_the_default_can_be_given(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.HOG, memory_mb=1024)

    assert (await loaded.call({"mb": 700})).value == 700 * MB


async def test_a_fork_bomb_is_stopped(opened: OpenBench) -> None:
    async with opened(pids=32) as bench:
        loaded = await bench.load(bench.sources.FORK_BOMB)

        assert 10 < (await loaded.call()).value < 32


async def test_code_is_read_only_and_tmp_and_output_are_not(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.WRITES)

    main = f"/code/{bench.sources.MAIN}"

    said = (await loaded.call(["/code/new", main, "/run/nanogrid/x", "/tmp/x", "/output/x"])).value

    assert said["/tmp/x"] is None
    assert said["/output/x"] is None
    assert all(said[path] is not None for path in ("/code/new", main, "/run/nanogrid/x"))
    assert (loaded.sandbox.output_dir / "x").read_text() == "x"


async def test_a_full_tmp_is_no_space_left_and_not_out_of_memory(opened: OpenBench) -> None:
    async with opened(tmp_mb=96, output_mb=80) as bench:
        loaded = await bench.load(bench.sources.FILLS, memory_mb=64)

        tmp, output = (await loaded.call("/tmp")).value, (await loaded.call("/output")).value

    assert tmp[1] == output[1] == "ENOSPC"
    assert 96 <= tmp[0] <= 100
    assert 80 <= output[0] <= 84


async def test_output_is_emptied_without_following_links(bench: Bench, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("keep")
    loaded = await bench.load(bench.sources.MESSES_UP)
    await loaded.call(str(treasure))

    await loaded.sandbox.clear_output()

    assert list(loaded.sandbox.output_dir.iterdir()) == []
    assert treasure.read_text() == "keep"


async def test_two_sandboxes_are_two_users(bench: Bench) -> None:
    one, other = await bench.load(bench.sources.WHO), await bench.load(bench.sources.WHO)

    first, second = (await one.call()).value, (await other.call()).value

    assert first[0] != second[0]
    assert 0 not in (*first[:2], *second[:2])
    assert set(first[2]) <= {first[1]}


async def test_a_frozen_sandbox_stands_still_and_goes_on_when_thawed(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.TICKS)
    await loaded.call()

    await loaded.sandbox.freeze()
    await loaded.sandbox.freeze()
    calling = asyncio.create_task(loaded.call())
    done, _ = await asyncio.wait([calling], timeout=0.2)
    assert not done
    await loaded.sandbox.thaw()
    await loaded.sandbox.thaw()

    assert (await calling).value >= 0


async def test_the_payloads_of_earlier_calls_do_not_pile_up_in_memory(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.COUNTS, memory_mb=64)

    for number in range(1500):  # 135 MB in all
        called = await loaded.call(f"{number:090000d}")
        assert called.result.error is None, number
