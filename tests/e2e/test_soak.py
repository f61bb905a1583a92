"""Thousands of calls with failures, evictions and timeouts leave nothing behind."""

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import httpx
import pytest

from support.grid import Grid, running_grid
from support.waiting import WATCHDOG_S, wait_until

CALLS = int(os.environ.get("NANOGRID_SOAK_CALLS", "1000"))
FUNCTIONS = 12
SANDBOXES = 10  # fewer than functions: there are always evictions
CLIENTS = 12
MORE_CONNECTIONS = 10  # that a service may open when it is busy; a leak takes one a call or a sandbox
SEED = 20
READY = 2  # generic sandboxes that wait in the end as they did in the beginning
# Of each: one container, one folder, and the mounted images of /tmp and /output.
RESTING = {"containers": READY, "folders": READY, "mounts": 2 * READY, "loop devices": 2 * READY, "sockets": 0}

SOURCE = """
import os, sys, time
def handler(event, context):
    what = event["what"]
    print(what)
    if what == "raise":
        raise ValueError("on purpose")
    if what == "exit":
        os._exit(7)
    if what == "hang":
        time.sleep(60)
    if what == "file":
        with open("/output/note.txt", "w") as note:
            note.write("x" * 1000)
    if what == "big":
        return len(b"x" * 400_000_000)
    return event
"""
EXPECTED = {
    "return": ("completed", None),
    "file": ("completed", None),
    "raise": ("failed", "HandlerError"),
    "exit": ("failed", "ExitError"),
    "hang": ("failed", "Timeout"),
    "big": ("failed", "OutOfMemory"),
}
WEIGHTS = {"return": 880, "file": 50, "raise": 50, "exit": 10, "hang": 5, "big": 5}


@pytest.fixture
def soaked(tmp_path: Path, sandbox_url: str) -> Iterator[Grid]:
    settings = {
        "NANOGRID_EXECUTOR_SANDBOX_URL": sandbox_url,
        "NANOGRID_EXECUTOR_SANDBOXES": str(SANDBOXES),
        "NANOGRID_EXECUTOR_IDLE_S": "10",  # longer than a busy machine lets a function wait for its next call
        "NANOGRID_EXECUTOR_POOL": f"python3.11={READY},0",
        "NANOGRID_EXECUTOR_POOL_MOST": str(READY),
    }
    with running_grid(tmp_path, **settings) as grid:
        yield grid


def _read(path: Path) -> str:
    """Return the text of a file of the system, "" when it has just gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


class Left:
    """What an executor holds."""

    def __init__(self, grid: Grid) -> None:
        [self.pid] = grid.pids("services.executor")
        [self.root] = (grid.folder / "executors").iterdir()

    def sandboxes(self) -> dict[str, int]:
        """Everything there is one or more of a sandbox."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        images = [_read(path) for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        return {
            "containers": self._containers(),
            "folders": len(list((self.root / "sandboxes" / "sandboxes").iterdir())),
            "mounts": sum(str(self.root) in line for line in mounts),
            "loop devices": sum(str(self.root) in image for image in images),
            "sockets": sum(name.endswith(".sock") for _, _, names in os.walk(self.root) for name in names),
        }

    def _containers(self) -> int:
        client = docker.from_env()
        try:
            return len(client.api.containers(all=True, filters={"label": f"nanogrid.executor={self.root.name}"}))
        finally:
            client.close()

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Pss")


def call_all(grid: Grid, ids: list[str], hurried: str, calls: int, seed: int) -> Counter[str]:
    """Call at random; every answer is what that call must answer. Only the hurried function has a short timeout."""
    chance = random.Random(seed)
    plan = [
        (hurried if what == "hang" else chance.choice(ids), what)
        for what in chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=calls)
    ]

    def call(planned: tuple[str, str]) -> str:
        function_id, what = planned
        body = {"function_id": function_id, "payload": {"what": what}}
        job = http.post("/run", content=json.dumps(body), headers={"content-type": "application/json"}).json()
        kind, error = EXPECTED[what]
        assert (job["status"], (job.get("error") or {}).get("type")) == (kind, error), job
        assert len(job["output_files"]) == (what == "file")
        return what

    with httpx.Client(base_url=grid.url, timeout=WATCHDOG_S) as http, ThreadPoolExecutor(CLIENTS) as clients:
        return Counter(clients.map(call, plan))


@pytest.mark.timeout(1800)
def test_a_soak_leaves_nothing_behind(soaked: Grid, sandbox_url: str) -> None:
    assert sandbox_url == "docker:", "the soak counts containers"
    ids = [soaked.upload(SOURCE, memory_mb=128, max_concurrency=1) for _ in range(FUNCTIONS)]
    hurried = soaked.upload(SOURCE, memory_mb=128, timeout=1)
    left = Left(soaked)
    call_all(soaked, ids, hurried, CALLS // 10, SEED)  # caches fill, threads start
    wait_until(lambda: left.sandboxes() == RESTING, left.sandboxes)
    descriptors, memory = left.descriptors(), left.memory_bytes()

    done = call_all(soaked, ids, hurried, CALLS, SEED + 1)

    assert sum(done.values()) == CALLS
    wait_until(lambda: left.sandboxes() == RESTING, left.sandboxes)
    wait_until(lambda: left.descriptors() < descriptors + MORE_CONNECTIONS, left.descriptors)
    grown = left.memory_bytes() - memory
    assert grown < 10 * 1024 * 1024, f"{grown} bytes more after {CALLS} calls"
