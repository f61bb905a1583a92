"""A grid of our own to measure: `python -m services` with its own data folder and ports, gone afterwards."""

import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import grpc
import httpx

from benchmarks import usage
from benchmarks.arms import EVENT
from benchmarks.http_client import request
from benchmarks.processes import run, running, wait_until
from nanogrid import caller
from nanogrid.local.grid import LocalGrid, read_grid, read_token
from nanogrid.v1.executor_pb2 import GetExecutorRequest, SandboxInfo, SandboxState
from nanogrid.v1.executor_pb2_grpc import ExecutorServiceStub
from nanogrid.v1.invoker_pb2 import ListExecutorsRequest
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceStub
from nanogrid.v1.registry_pb2 import GetFunctionRequest
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from nanogrid.v1.resources_pb2 import ExecutorInfo, Function

HANDLER = Path(__file__).parent / "function" / "handler.py"
RUNTIME = "python3.11"
IMAGE = "nanogrid/python:3.11-fat"
_FOREIGN = ("NANOGRID_", "REDIS_", "S3_", "SQS_", "DYNAMODB_", "GCP_", "AI_ENDPOINT", "AWS_")  # not meant for this grid
_ANSWER_S = 10.0


class Grid:
    """A running grid with one executor."""

    def __init__(self, data_dir: Path, grid: LocalGrid) -> None:
        self.address = grid.url.removeprefix("http://")
        self.redis_url = grid.redis_url
        self._pid = grid.pid
        self._metadata = ((caller.TOKEN_KEY, read_token(data_dir)),)
        self._http = httpx.Client(base_url=grid.url, timeout=60, trust_env=False)
        self._invoker = InvokerServiceStub(grpc.insecure_channel(grid.invoker_address))
        self._registry = RegistryServiceStub(grpc.insecure_channel(grid.registry_address))

    def upload(self, mode: str = "reuse", *, count: int = 1) -> list[bytes]:
        """Upload the handler as new functions, whose code nobody has seen either; returns a call of each."""
        return [self.call_of(self.new(mode)) for _ in range(count)]

    def call_of(self, function_id: str) -> bytes:
        """A call of a function, ready to be sent."""
        return request(self.address, "/run", {"function_id": function_id, "payload": EVENT})

    def new(self, mode: str = "reuse") -> str:
        """Upload the handler as one new function with a code digest of its own; returns its id."""
        code = HANDLER.read_bytes() + f"# {uuid.uuid4()}\n".encode()
        form = {"function_name": "benchmark", "runtime": RUNTIME, "mode": mode}
        answer = self._http.post("/upload", data=form, files={"file": ("handler.py", code)})
        return str(answer.raise_for_status().json()["function_id"])

    def function(self, function_id: str) -> Function:
        """All that is known of a function."""
        asked = GetFunctionRequest(function_id=function_id)
        return self._registry.GetFunction(asked, timeout=_ANSWER_S, metadata=self._metadata).function

    def executors(self) -> list[ExecutorInfo]:
        """The executors alive."""
        answer = self._invoker.ListExecutors(ListExecutorsRequest(), timeout=_ANSWER_S, metadata=self._metadata)
        return list(answer.executors)

    def sandboxes(self) -> list[SandboxInfo]:
        """The executor's sandboxes."""
        [executor] = self.executors()
        with grpc.insecure_channel(executor.address) as channel:
            stub = ExecutorServiceStub(channel)
            answer = stub.GetExecutor(GetExecutorRequest(), timeout=_ANSWER_S, metadata=self._metadata)
        return list(answer.sandboxes)

    def wait_for_pool(self, generic: int, timeout_s: float = 120.0) -> None:
        """Wait until so many sandboxes wait for a function."""
        wait_until(
            lambda: sum(one.state == SandboxState.SANDBOX_STATE_GENERIC for one in self.sandboxes()) >= generic,
            f"{generic} generic sandboxes in the pool",
            timeout_s,
        )

    def wait_until_only(self, generic: int, timeout_s: float = 180.0) -> None:
        """Wait until the sandboxes of earlier functions are gone and the pool is full."""
        wait_until(
            lambda: [one.state for one in self.sandboxes()] == [SandboxState.SANDBOX_STATE_GENERIC] * generic,
            f"{generic} generic sandboxes and nothing else",
            timeout_s,
        )

    def shims(self, sandboxes: list[SandboxInfo]) -> list[int]:
        """Process ids of the containerd shims above some sandboxes' containers."""
        known = usage.parents()
        return [known[self._init(one.sandbox_id)] for one in sandboxes]

    def _init(self, sandbox_id: str) -> int:
        docker = shutil.which("docker") or "docker"
        name = run([docker, "ps", "-q", "--filter", f"label=nanogrid.sandbox={sandbox_id}"]).decode().strip()
        return int(run([docker, "inspect", "--format", "{{.State.Pid}}", name]))

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds so far: by service, and of all sandboxes together."""
        known = usage.parents()
        used: dict[str, float] = {}
        for pid in usage.tree(self._pid, known):
            with suppress(OSError):  # it is gone by now: Redis has children that rewrite its file
                name = usage.role(pid)
                used[name] = used.get(name, 0.0) + usage.cpu_s([pid])
        inside = {pid for shim in self.shims(self.sandboxes()) for pid in usage.tree(shim, known)}
        return used | {"sandboxes": usage.cpu_s(inside)}

    def close(self) -> None:
        self._http.close()


@contextmanager
def running_grid(environment: Mapping[str, str] = MappingProxyType({}), /, **settings: str) -> Iterator[Grid]:
    """A grid with Docker and these `NANOGRID_` settings besides the defaults; its logs stay if a run fails.

    `environment` has other names than those beginning with `NANOGRID_`.
    """
    root = Path(".nanogrid/benchmarks").absolute()
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    data_dir = folder / "data"
    told = {**environment, **{f"NANOGRID_{name}": value for name, value in settings.items()}} | {
        "NANOGRID_DATA_DIR": str(data_dir),
        "NANOGRID_GATEWAY_LISTEN": "127.0.0.1:0",
        "NANOGRID_EXECUTOR_SANDBOX_URL": "docker:",
    }
    with _forgotten(), running([sys.executable, "-P", "-m", "services"], folder / "stack.log", **told) as process:
        try:
            wait_until(lambda: read_grid(data_dir) is not None or process.poll() is not None, "the grid starts")
            found = read_grid(data_dir)
            if found is None:
                raise RuntimeError(f"the grid did not start:\n{(folder / 'stack.log').read_text()[-2000:]}")
            grid = Grid(data_dir, found)
            wait_until(lambda: _ready(grid), f"an executor offers {RUNTIME}")
        except TimeoutError as error:
            raise RuntimeError(f"{error}; see {folder}") from None
        try:
            yield grid
        finally:
            grid.close()
    shutil.rmtree(folder)


def check(answer: bytes) -> None:
    """The call was completed and gave its event back."""
    job = json.loads(answer)
    if job["status"] != "completed" or job["result"] != EVENT:
        raise RuntimeError(f"a call failed: {job}")


def check_cold(answer: bytes) -> None:
    """Likewise, and it was the function's first."""
    check(answer)
    if not json.loads(answer)["cold_start"]:
        raise RuntimeError("a call that was to be the first of its function was not")


def _ready(grid: Grid) -> bool:
    try:
        return any(RUNTIME in one.runtimes for one in grid.executors())
    except grpc.RpcError:
        return False


@contextmanager
def _forgotten() -> Iterator[None]:
    """Settings that stand in the environment are for other grids."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_FOREIGN)}
    try:
        yield
    finally:
        os.environ.update(kept)
