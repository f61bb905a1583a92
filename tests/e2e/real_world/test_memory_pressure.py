"""A machine that runs short of memory: an executor's cgroup is filled for real, and idle sandboxes make way."""

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from nanogrid.v1.executor_pb2 import GetExecutorRequest, SandboxInfo, SandboxState
from nanogrid.v1.executor_pb2_grpc import ExecutorServiceStub
from nanogrid.v1.invoker_pb2 import ListExecutorsRequest
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceStub
from nanogrid.v1.resources_pb2 import ExecutorInfo
from support.ballast import LimitedMemory, limited_memory
from support.grid import Grid, running_grid
from support.waiting import wait_until

LIMIT = 400 << 20  # of the executor's cgroup: its own needs, and room to fill
FLOOR_PERCENT = 20

# A call that is asked to wait does so until there is a file in its /tmp.
SOURCE = """
import os, time
def handler(event, context):
    while event.get("waits") and not os.path.exists("/tmp/go"):
        time.sleep(0.02)
    return "done"
"""


@pytest.fixture
def own_grid(tmp_path: Path, sandbox_url: str) -> Iterator[Grid]:
    settings = {
        "NANOGRID_EXECUTOR_SANDBOX_URL": sandbox_url,
        "NANOGRID_EXECUTOR_POOL": "python3.11=1,0",
        "NANOGRID_EXECUTOR_POOL_MOST": "1",
        "NANOGRID_EXECUTOR_MEMORY_FLOOR_PERCENT": str(FLOOR_PERCENT),
        "NANOGRID_EXECUTOR_MEMORY_STALL_PERCENT": "100",  # what else stalls on this machine is not tried here
    }
    with running_grid(tmp_path, **settings) as running:
        yield running


@pytest.fixture
def memory(own_grid: Grid) -> Iterator[LimitedMemory]:
    """The cgroup that the grid's executor is in."""
    with limited_memory(f"grid-{os.getpid()}", LIMIT) as limited:
        [executor] = own_grid.pids("services.executor")
        limited.add(executor)
        yield limited


class Watched:
    """The executor as operators see it."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._token = (("authorization", f"Bearer {(grid.folder / 'internal-token').read_text().strip()}"),)

    def announced(self) -> ExecutorInfo:
        with grpc.insecure_channel(self._grid.address("invoker")) as channel:
            listed = InvokerServiceStub(channel).ListExecutors(ListExecutorsRequest(), metadata=self._token)
        [executor] = listed.executors
        return executor

    def sandboxes(self) -> list[SandboxInfo]:
        with grpc.insecure_channel(self.announced().address) as channel:
            stub = ExecutorServiceStub(channel)
            return list(stub.GetExecutor(GetExecutorRequest(), metadata=self._token).sandboxes)

    def functions(self) -> set[str]:
        """Return the functions that have a sandbox, "" for a generic one."""
        return {sandbox.function_id for sandbox in self.sandboxes()}

    def metric(self, name: str) -> float:
        text = self._grid.http.get("/metrics").raise_for_status().text
        [value] = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{name}{{")]
        return float(value)


def test_idle_sandboxes_make_way_running_jobs_do_not_and_calls_go_on(own_grid: Grid, memory: LimitedMemory) -> None:
    executor = Watched(own_grid)
    warm, running = own_grid.upload(SOURCE), own_grid.upload(SOURCE, timeout=110)
    own_grid.run(warm)
    job = own_grid.run(running, {"waits": True}, **{"X-Async": "true"})
    wait_until(lambda: executor.functions() == {"", warm, running})
    before = {sandbox.function_id: sandbox.sandbox_id for sandbox in executor.sandboxes()}
    assert not executor.announced().memory_pressure

    with memory.filled(LIMIT * 9 // 10):
        wait_until(lambda: executor.functions() == {running})
        [busy] = executor.sandboxes()
        assert (busy.sandbox_id, busy.state) == (before[running], SandboxState.SANDBOX_STATE_BUSY)

        again = own_grid.run(warm)
        assert (again["status"], again["result"], again["cold_start"]) == ("completed", "done", True), again
        wait_until(lambda: executor.functions() == {running})
        wait_until(lambda: executor.metric("nanogrid_executor_memory_pressure") == 1)

    wait_until(lambda: "" in executor.functions())
    wait_until(lambda: executor.metric("nanogrid_executor_memory_pressure") == 0)
    assert executor.metric("nanogrid_executor_evicted_sandboxes_total") >= 3
    assert own_grid.run(warm)["status"] == "completed"
    assert own_grid.run(warm)["cold_start"] is False
    let_go(own_grid, busy.sandbox_id)
    ended = own_grid.wait(job["job_id"])
    assert (ended["status"], ended["result"]) == ("completed", "done"), ended
    assert_logged(own_grid)


def let_go(grid: Grid, sandbox_id: str) -> None:
    """Put the file into the sandbox's /tmp that its call waits for."""
    [tmp] = grid.folder.glob(f"executors/*/sandboxes/**/{sandbox_id}/tmp")
    (tmp / "go").touch()


def assert_logged(grid: Grid) -> None:
    [log] = (grid.folder / "logs").glob("executor*.log")
    text = log.read_text()
    for event in ("memory pressure: ", "idle sandboxes evicted", "memory pressure is over"):
        assert event in text
    assert '"scope":"cgroup /' in text
