"""Cgroup v2 as the kernel presents it, in a folder: this suite's machine may have v1."""

import subprocess
from pathlib import Path

import pytest

from services.executor.sandbox.cgroup import CgroupV1, CgroupV2, Usage
from services.executor.sandbox.process_group import SignalGroup


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    files = {
        "memory.current": "5000\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
        "memory.max": "max\n",
        "memory.swap.max": "max\n",
        "cpu.max": "max 100000\n",
        "cgroup.freeze": "0\n",
        "cgroup.events": "populated 1\nfrozen 1\n",
        "cgroup.procs": "12\n13\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


async def test_limits_are_written_as_v2_wants_them(v2: Path) -> None:
    group = CgroupV2(v2)

    group.limit_memory(64 << 20)
    group.limit_cpu(0.5)
    await group.freeze()

    assert (v2 / "memory.max").read_text() == str(64 << 20)
    assert (v2 / "memory.swap.max").read_text() == "0"
    assert (v2 / "cpu.max").read_text() == "50000 100000"
    assert (v2 / "cgroup.freeze").read_text().startswith("1")
    assert group.pids() == [12, 13]
    group.close()
    group.close()


async def test_a_mark_that_was_passed_is_the_peak(v2: Path) -> None:
    (v2 / "memory.peak").write_text("9000\n")
    (v2 / "memory.peak").chmod(0o444)
    group = CgroupV2(v2)
    group._restarts = False  # root may open it for writing all the same here

    group.begin()
    (v2 / "memory.peak").write_text("9500\n")

    assert group.end() == Usage(9500, oom_killed=False)
    group.close()


async def test_a_mark_of_an_earlier_call_is_not_this_ones_peak(v2: Path) -> None:
    (v2 / "memory.peak").write_text("9000\n")
    group = CgroupV2(v2)
    group._restarts = False

    group.begin()

    assert group.end().peak_bytes == 5000
    group.close()


async def test_a_kernel_without_a_mark_is_sampled(v2: Path) -> None:
    group = CgroupV2(v2)

    group.begin()
    (v2 / "memory.current").write_text("7000\n")
    group._timer.cancel()
    group._sample()
    (v2 / "memory.current").write_text("6000\n")

    assert group.end().peak_bytes == 7000
    group.close()


async def test_the_oom_killer_is_noticed(v2: Path) -> None:
    group = CgroupV2(v2)

    group.begin()
    (v2 / "memory.events").write_text("oom 1\noom_kill 1\n")

    assert group.end().oom_killed
    group.close()


@pytest.mark.parametrize(("before", "after"), [("1000", 500), ("500", 1000)])
def test_v1_limits_are_written_in_the_order_the_kernel_accepts(tmp_path: Path, before: str, after: int) -> None:
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes"):
        (tmp_path / name).write_text(before)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "freezer.state").write_text("THAWED")
    group = CgroupV1({"memory": tmp_path, "cpu": tmp_path, "freezer": tmp_path})

    group.limit_memory(after)

    assert (tmp_path / "memory.limit_in_bytes").read_text() == str(after)
    first, second = (tmp_path / "memory.limit_in_bytes", tmp_path / "memory.memsw.limit_in_bytes")
    order = first.stat().st_mtime_ns <= second.stat().st_mtime_ns
    assert order is (after < int(before))
    group.close()


def test_without_control_groups_a_runtime_that_ended_has_the_memory_it_began_with() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        group = SignalGroup(process.pid, process.pid)
        group.begin()
        while_alive = group.end().peak_bytes

        process.kill()
        process.wait()

        assert 0 < group.end().peak_bytes <= while_alive
