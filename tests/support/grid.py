"""Runs a whole grid as a user starts it: `python -m services` with its own data folder and ports."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.redis_server import free_port
from support.waiting import WATCHDOG_S, wait_until

_RUNS = ("pending", "running", "PENDING", "PROCESSING")


class Grid:
    """A running grid and a client for it. `env` was added to the tests' environment at its start."""

    def __init__(self, folder: Path, url: str, process: "subprocess.Popen[bytes]", env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = env
        self.url = url
        self.process = process
        self.http = httpx.Client(base_url=url, timeout=WATCHDOG_S)

    def upload(self, source: bytes | str, name: str = "main.py", **fields: Any) -> str:
        """Upload and return the function id."""
        answer = self.try_upload(source, name, **fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["function_id"]

    def try_upload(self, source: bytes | str, name: str = "main.py", **fields: Any) -> httpx.Response:
        data = source.encode() if isinstance(source, str) else source
        form = {"function_name": "f", "runtime": "python"} | {key: str(value) for key, value in fields.items()}
        return self.http.post("/upload", files={"file": (name, data)}, data=form)

    def run(self, function_id: str, payload: Any = None, **headers: str) -> dict[str, Any]:
        body = {"function_id": function_id, "payload": {} if payload is None else payload}
        answer = self.http.post("/run", json=body, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def wait(self, job_id: str) -> dict[str, Any]:
        """Poll until the job has ended and return it."""

        def job_at_its_end() -> dict[str, Any]:
            job = self.http.get(f"/status/{job_id}").raise_for_status().json()
            return {} if job["status"] in _RUNS else job

        return wait_until(job_at_its_end, f"{job_id} did not end")

    def ended(self, job_id: str) -> dict[str, Any]:
        """Poll until a job queued by hand has ended. It is unknown until an executor receives it."""
        wait_until(lambda: self.http.get(f"/status/{job_id}").status_code != 404, f"no executor took {job_id}")
        return self.wait(job_id)

    def pids(self, module: str) -> list[int]:
        """Return the grid's processes that run this module."""
        found = []
        for pid in [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]:
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self.process.pid and module.encode() in argv:
                found.append(int(pid))
        return sorted(found)

    def peak_memory_bytes(self, module: str) -> int:
        [pid] = self.pids(module)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    @property
    def queue_url(self) -> str:
        """Return the queue's URL for `open_queue`."""
        if "SQS_QUEUE_URL" in self.env:
            return f"sqs:{self.env['SQS_QUEUE_URL']}"
        return str(json.loads((self.folder / "grid.json").read_text())["redis_url"])

    def address(self, service: str) -> str:
        """Return host:port of a gRPC service."""
        return self.described(f"{service}_address")

    def described(self, what: str) -> str:
        """Return a field of grid.json."""
        return json.loads((self.folder / "grid.json").read_text())[what]


@contextmanager
def running_grid(folder: Path, **env: str) -> Iterator[Grid]:
    """Start a grid, and stop it as `make down` does. Fails with its logs when it does not start."""
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "NANOGRID_DATA_DIR": str(folder),
        "NANOGRID_GATEWAY_LISTEN": listen,
        # Grids that start at the same moment would choose the same ports.
        **{f"NANOGRID_{name}_LISTEN": f"127.0.0.1:{free_port()}" for name in ("REGISTRY", "ARTIFACTS", "INVOKER")},
        "NANOGRID_EXECUTOR_POLL_S": "1",  # bounds the time to stop, because a wait on SQS cannot be interrupted
        "PYTHONUNBUFFERED": "1",
        **env,
    }
    with (folder / "stack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services"],
            env=os.environ | settings,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    grid = Grid(folder, f"http://{listen}", process, env)
    try:
        _wait_ready(grid)
        yield grid
    finally:
        grid.http.close()
        process.send_signal(signal.SIGTERM)
        process.wait(WATCHDOG_S)


def _wait_ready(grid: Grid) -> None:
    def is_ready() -> bool:
        assert grid.process.poll() is None, (grid.folder / "stack.log").read_text()
        try:
            return grid.http.get("/ready").status_code == 200 and _executors(grid)
        except httpx.TransportError:
            return False

    wait_until(is_ready, lambda: [path.read_text() for path in (grid.folder / "logs").iterdir()])


def _executors(grid: Grid) -> bool:
    """Return whether the executors serve, by their logs."""
    logs = list((grid.folder / "logs").glob("executor*.log"))
    return bool(logs) and all('"event":"serving"' in path.read_text() for path in logs)
