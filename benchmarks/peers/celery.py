"""Celery with Redis as broker and result backend: a queue and workers, no HTTP, no isolation, nothing on disk."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.arms import EVENT
from benchmarks.grid import HANDLER
from benchmarks.peers import pypi
from benchmarks.processes import end, program, running

_HERE = HANDLER.parent
_WORKER = ("-A", "celery_tasks", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")


@contextmanager
def serving(folder: Path) -> Iterator[Callable[[float], float]]:
    """A worker with a process per CPU, and a client: calls per second reached in so many seconds."""
    port = pypi.free_port()
    env = {"BENCHMARK_REDIS": f"redis://127.0.0.1:{port}/0", "PYTHONPATH": str(_HERE)}
    redis = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    worker = [pypi.tool("celery"), *_WORKER]
    with running(redis, folder / "celery-redis.log"):
        pypi.wait_for_port(port)
        with running(worker, folder / "celery-worker.log", **env), _client(env) as measure:
            measure(0.1)  # returns once the worker is there
            yield measure


@contextmanager
def _client(env: dict[str, str]) -> Iterator[Callable[[float], float]]:
    argv = [pypi.tool("python"), str(_HERE / "celery_client.py"), json.dumps(EVENT)]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | env, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, said = process.stdin, process.stdout

    def measure(seconds: float) -> float:
        asked.write(f"{seconds}\n".encode())
        asked.flush()
        answer = json.loads(said.readline())
        return float(answer["calls"] / answer["seconds"])

    try:
        yield measure
    finally:
        asked.close()
        said.close()
        end(process)
