"""Memory as Linux tells it: for real where this machine has it, else in files as the kernel writes them."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from services.executor.memory import MemoryReading, open_memory_reader
from services.executor.memory.linux import LinuxMemory
from services.executor.pool.pressure import PressureLimits
from support.ballast import LimitedMemory, limited_memory
from support.waiting import wait_until

MIB = 1 << 20
LIMIT = 200 * MIB

MEMINFO = "MemTotal:        1000000 kB\nMemFree:          100000 kB\nMemAvailable:     400000 kB\nBuffers:  1 kB\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V2_MOUNT = "26 21 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"
NO_LIMIT_V1 = "9223372036854771712\n"


def stalls(total_us: int) -> str:
    averages = "avg10=0.00 avg60=0.00 avg300=0.00"
    return f"some {averages} total={total_us}\nfull {averages} total=99999999\n"


class Written:
    """A machine whose /proc and /sys a test wrote. Its clock stands still until it is set."""

    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self.root = root
        self.now = 100.0
        self.write({"proc/meminfo": MEMINFO, "proc/self/cgroup": "", "proc/self/mountinfo": "", **files})
        self.memory = LinuxMemory(root=root, clock=lambda: self.now)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def scopes(self) -> list[tuple[str, int]]:
        return [(reading.scope, round(reading.available_percent)) for reading in self.memory.read()]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[LimitedMemory]:
    with limited_memory(tmp_path.name, LIMIT) as made:
        yield made


def of_cgroup(memory: LinuxMemory) -> MemoryReading:
    [reading] = [reading for reading in memory.read() if reading.scope.endswith("/limited")]
    return reading


def test_this_machine_tells_what_is_available() -> None:
    machine, *_ = open_memory_reader().read()

    assert machine.scope == "machine"
    assert 0 < machine.available_percent < 100


def test_a_cgroup_with_a_limit_tells_what_its_processes_take(limited: LimitedMemory) -> None:
    with limited.running("sys.stdin.read()") as process:
        memory = LinuxMemory(process.pid)
        before = of_cgroup(memory).available_percent

        with limited.filled(LIMIT // 2):
            during = of_cgroup(memory).available_percent

        wait_until(lambda: of_cgroup(memory).available_percent > 85)
    assert before > 85
    assert 30 < during < 50


def test_a_process_that_is_moved_is_followed(limited: LimitedMemory) -> None:
    with subprocess.Popen(["sleep", "infinity"]) as process:
        try:
            memory = LinuxMemory(process.pid)
            before = {reading.scope for reading in memory.read()}

            limited.add(process.pid)

            assert of_cgroup(memory).scope not in before
        finally:
            process.kill()


def test_file_cache_of_a_cgroup_is_available(limited: LimitedMemory, tmp_path: Path) -> None:
    file = tmp_path / "file"
    code = f"open({str(file)!r}, 'wb').write(b'x' * {LIMIT // 2}); print('written', flush=True); sys.stdin.read()"

    with limited.running(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"

        assert of_cgroup(LinuxMemory(process.pid)).available_percent > 70


def test_a_program_that_thrashes_within_its_own_limit_stalls_the_machine_and_is_no_pressure(
    limited: LimitedMemory, tmp_path: Path
) -> None:
    """The kernel counts its stalls as the machine's: one function could cost all others their warm sandboxes."""
    thrashes = f"""
import mmap
with open({str(tmp_path / "twice the limit")!r}, "wb+") as file:
    for _ in range(20):
        file.write(bytes({LIMIT // 10}))
    file.flush()
    seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
while True:
    for start in range(0, len(seen), mmap.PAGESIZE):
        seen[start]
"""
    memory, readings = LinuxMemory(), [MemoryReading("machine", 100.0)]

    def stalls_are_told() -> bool:
        readings[:] = memory.read()
        return (readings[0].stalled_percent or 0) > 0

    with limited.running(thrashes):
        if Path("/proc/pressure/memory").exists():
            wait_until(stalls_are_told)

    assert not PressureLimits(floor_percent=5, stall_percent=0.0001).is_exceeded(readings[0])


def test_stalls_are_counted_since_the_last_reading(tmp_path: Path) -> None:
    machine = Written(tmp_path, {"proc/pressure/memory": stalls(5_000_000)})
    first = machine.memory.read()

    machine.now += 2.0
    machine.write({"proc/pressure/memory": stalls(5_500_000)})
    second = machine.memory.read()
    machine.now += 1.0

    assert first == [MemoryReading("machine", 40.0, None)]
    assert second == [MemoryReading("machine", 40.0, 25.0)]
    assert machine.memory.read() == [MemoryReading("machine", 40.0, 0.0)]


def test_a_kernel_without_stall_information_tells_what_is_available(tmp_path: Path) -> None:
    machine = Written(tmp_path, {})

    machine.memory.read()
    machine.now += 1.0

    assert machine.memory.read() == [MemoryReading("machine", 40.0, None)]


def test_limits_of_parents_count_and_absent_ones_do_not_in_v1(tmp_path: Path) -> None:
    own, parent = "sys/fs/cgroup/memory/a/b", "sys/fs/cgroup/memory/a"
    files = {
        "proc/self/cgroup": "4:memory:/a/b\n1:cpu:/c\n0::/\n",
        "proc/self/mountinfo": V1_MOUNT,
        f"{own}/memory.limit_in_bytes": NO_LIMIT_V1,
        f"{parent}/memory.limit_in_bytes": "100000000\n",
        f"{parent}/memory.usage_in_bytes": "80000000\n",
        f"{parent}/memory.stat": "cache 1\nactive_file 1\ntotal_active_file 10000000\ntotal_inactive_file 20000000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
    }

    assert Written(tmp_path, files).scopes() == [("machine", 40), ("cgroup /sys/fs/cgroup/memory/a", 50)]


@pytest.mark.parametrize(("most", "high"), [("100000000\n", "max\n"), ("max\n", "100000000\n")])
def test_v2_is_limited_where_it_is_killed_and_where_it_is_slowed(tmp_path: Path, most: str, high: str) -> None:
    own = "sys/fs/cgroup/system.slice/nanogrid.service"
    files = {
        "proc/self/cgroup": "0::/system.slice/nanogrid.service\n",
        "proc/self/mountinfo": V2_MOUNT,
        f"{own}/memory.max": most,
        f"{own}/memory.high": high,
        f"{own}/memory.current": "90000000\n",
        f"{own}/memory.stat": "anon 1\nslab_reclaimable 5000000\nactive_file 10000000\ninactive_file 15000000\n",
        f"{own}/memory.pressure": stalls(0),
        "sys/fs/cgroup/system.slice/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/memory.high": "max\n",
    }
    machine = Written(tmp_path, files)

    assert machine.scopes() == [("machine", 40), (f"cgroup /{own}", 40)]
    machine.now += 1.0
    machine.write({f"{own}/memory.pressure": stalls(300_000)})
    assert machine.memory.read()[1].stalled_percent == 30


def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2_MOUNT,
        "sys/fs/cgroup/memory.max": "500000000\n",
        "sys/fs/cgroup/memory.high": "max\n",
        "sys/fs/cgroup/memory.current": "400000000\n",
        "sys/fs/cgroup/memory.stat": "active_file 0\n",
    }

    assert Written(tmp_path, files).scopes() == [("machine", 40), ("cgroup /sys/fs/cgroup", 20)]


@pytest.mark.parametrize("limit", ["0\n", "1000\n"])
def test_a_cgroup_beyond_its_limit_has_nothing_available(tmp_path: Path, limit: str) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2_MOUNT,
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.high": "max\n",
        "sys/fs/cgroup/memory.current": "4000\n",
        "sys/fs/cgroup/memory.stat": "",
    }

    assert Written(tmp_path, files).scopes()[1] == ("cgroup /sys/fs/cgroup", 0)


def test_a_machine_that_tells_nothing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="meminfo"):
        LinuxMemory(root=tmp_path).read()
