"""Sandboxes come and go without a trace."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from services.executor.sandbox import SandboxSettings, SandboxStartError, open_provider
from services.executor.sandbox.process_group import executor_groups
from support.sandboxes import PYTHON, Bench, OpenBench, open_bench
from support.waiting import until, watched


def traces(root: Path) -> dict[str, object]:
    """What the machine knows about the sandboxes below `root`."""
    loops = Path("/sys/block").glob("loop*/loop/backing_file")
    folders = root / "sandboxes"
    return {
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(root) in line],
        "loops": [file for file in loops if str(root) in text_of(file)],
        "folders": list(folders.iterdir()) if folders.exists() else [],
        "groups": [path for path in Path("/sys/fs/cgroup").glob("*/nanogrid/*/*/") if root.parent.name in str(path)],
    }


def text_of(file: Path) -> str:
    """What a file of the kernel says; others on this machine come and go."""
    try:
        return file.read_text()
    except OSError:
        return ""


async def expect_clean(root: Path) -> None:
    """Nothing is left below `root`. A process that is just copying the machine's mounts may hold one for a moment."""
    clean = {"mounts": [], "loops": [], "folders": [], "groups": []}
    await until(lambda: traces(root) == clean, lambda: traces(root))


def descriptors() -> list[str]:
    """Open files of this process, but for the daemon's connections: their pool grows and shrinks as it likes."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return sorted(target for target in found if not target.startswith("socket:"))


async def containers(bench: Bench) -> list[object]:
    daemon = getattr(bench.provider, "_daemon", None)
    if daemon is None:
        return []
    label = {"label": f"nanogrid.executor={bench.settings.executor_id}"}
    return list(await daemon.ask(lambda: daemon.api.containers(all=True, filters=label)))


async def test_destroy_leaves_nothing(bench: Bench) -> None:
    await (await bench.load(bench.sources.LITTERS)).sandbox.destroy()
    before = descriptors()
    loaded = await bench.load(bench.sources.LITTERS)
    await loaded.call()

    await loaded.sandbox.destroy()
    await loaded.sandbox.destroy()

    await expect_clean(bench.settings.root)
    assert await containers(bench) == []
    assert descriptors() == before


async def test_a_frozen_sandbox_can_be_destroyed(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.LITTERS)
    await loaded.sandbox.freeze()

    await watched(loaded.sandbox.destroy())

    await expect_clean(bench.settings.root)


async def test_a_sandbox_can_be_destroyed_in_the_middle_of_a_call(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.SLEEPS)
    calling = asyncio.create_task(loaded.call(timeout_s=None))
    await asyncio.wait([calling], timeout=0.2)
    calling.cancel()
    await asyncio.wait([calling])

    await loaded.sandbox.destroy()

    assert calling.cancelled()
    await expect_clean(bench.settings.root)


async def test_closing_the_provider_leaves_nothing(opened: OpenBench) -> None:
    async with opened() as bench:
        await asyncio.gather(*(bench.load(bench.sources.LITTERS) for _ in range(3)))

    await expect_clean(bench.settings.root)


async def test_giving_up_on_a_creation_leaves_nothing(bench: Bench) -> None:
    for delay_s in (0.0, 0.01, 0.05, 0.1):
        creating = asyncio.create_task(bench.provider.create(bench.runtime))
        await asyncio.wait([creating], timeout=delay_s)
        creating.cancel()
        await asyncio.wait([creating])
        if not creating.cancelled():  # it was quicker
            await creating.result().destroy()

    assert await containers(bench) == []
    await expect_clean(bench.settings.root)


async def test_a_sandbox_that_cannot_start_is_an_error_that_leaves_nothing(bench: Bench) -> None:
    missing = replace(PYTHON, name="python3.0", image="nanogrid/python:3.0-fat", executable="python3.0")

    with pytest.raises(SandboxStartError, match=r"python3\.0"):
        await bench.provider.create(missing)

    await expect_clean(bench.settings.root)


async def test_sweep_removes_what_a_crashed_executor_left_and_nothing_else(sandbox_url: str, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    async with open_bench(sandbox_url, tmp_path / "other") as other:
        living = await other.load(other.sources.LITTERS)
        await crash_with_a_sandbox(sandbox_url, crashed)
        async with open_bench(sandbox_url, crashed) as bench:
            assert traces(bench.settings.root)["folders"] != []

            assert await bench.provider.sweep() == 1

            await expect_clean(bench.settings.root)
            assert await containers(bench) == []
            assert await bench.provider.sweep() == 0
        assert (await living.call()).result.error is None


async def crash_with_a_sandbox(url: str, tmp_path: Path) -> None:
    """An executor that dies without a word while it has a sandbox."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.set_event_loop_policy(None)
            asyncio.events._set_running_loop(None)
            asyncio.run(_make_and_die(url, tmp_path))
        finally:
            os._exit(1)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.WEXITSTATUS(status) == 42


async def _make_and_die(url: str, tmp_path: Path) -> None:
    settings = SandboxSettings(root=tmp_path / "executor", executor_id=f"test-{tmp_path.name}")
    async with open_provider(url, settings) as provider:
        await provider.create(PYTHON)
        os._exit(42)


async def test_the_runtimes_that_can_be_served_are_named(bench: Bench) -> None:
    assert bench.runtime.name in await bench.provider.runtimes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has control groups of its own")
async def test_closing_takes_along_who_outlived_a_sandbox(tmp_path: Path) -> None:
    async with open_bench("process:", tmp_path) as bench:
        [base, *_] = executor_groups(bench.settings.executor_id)
        forgotten = base / "forgotten"
        forgotten.mkdir()
        sleeper = await asyncio.create_subprocess_exec("sleep", "600")
        (forgotten / "cgroup.procs").write_text(str(sleeper.pid))

    assert await watched(sleeper.wait()) == -signal.SIGKILL
    assert not base.exists()
