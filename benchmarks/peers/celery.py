"""Celery with Redis as broker and result backend: queue and workers, nothing isolated or on disk; with HTTP or not."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from redis import Redis

from benchmarks.arms import EVENT
from benchmarks.backlog import LOOK_S, PIECES, Seen, rates
from benchmarks.grid import HANDLER
from benchmarks.http_client import request
from benchmarks.peers import pypi
from benchmarks.processes import end, program, running

_HERE = HANDLER.parent
_WORKER = ("-A", "celery_tasks", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
_DRAIN_S = 300.0


@contextmanager
def serving(folder: Path) -> Iterator[Callable[[float], float]]:
    """A worker with a process per CPU, and a client: calls per second reached in so many seconds."""
    with _redis(folder) as env, _worker(folder, env), _client(env) as measure:
        measure(0.1)  # returns once the worker is there
        yield measure


@contextmanager
def serving_http(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The same behind FastAPI, as functions are called: its address and the call to send."""
    port = pypi.free_port()
    argv = [pypi.tool("uvicorn"), "celery_http:app", "--port", str(port), "--no-access-log"]
    with _redis(folder) as env, _worker(folder, env), running(argv, folder / "celery-http.log", **env):
        pypi.wait_for_port(port)
        yield f"127.0.0.1:{port}", request(f"127.0.0.1:{port}", "/", EVENT)


@contextmanager
def draining(folder: Path) -> Iterator[Callable[[int], list[float]]]:
    """Queues so many calls while there is no worker, then starts one: calls per second of every tenth of them."""
    with _redis(folder) as env, Redis.from_url(env["BENCHMARK_REDIS"]) as redis:

        def drain(count: int) -> list[float]:
            fill = [pypi.tool("python"), str(_HERE / "celery_fill.py"), json.dumps(EVENT), str(count)]
            subprocess.run(fill, env=os.environ | env, check=True)
            with _worker(folder, env):
                return rates(list(_watched(redis)), PIECES)

        yield drain


def _watched(redis: Redis) -> Iterator[Seen]:
    """What is left, until nothing is; what the worker has fetched and not begun counts too."""
    deadline = time.monotonic() + _DRAIN_S
    left = 1
    while left:
        left = int(redis.llen("celery")) + int(redis.hlen("unacked"))
        yield time.perf_counter(), left
        if time.monotonic() > deadline:
            raise TimeoutError(f"celery left {left} calls undone for {_DRAIN_S:.0f} s")
        time.sleep(LOOK_S)


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    """A broker that is the result backend too; the environment that its clients need."""
    port = pypi.free_port()
    redis = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    pypi.tool("celery")
    with running(redis, folder / "celery-redis.log"):
        pypi.wait_for_port(port)
        yield {"BENCHMARK_REDIS": f"redis://127.0.0.1:{port}/0", "PYTHONPATH": str(_HERE)}


def _worker(folder: Path, env: dict[str, str]) -> AbstractContextManager[object]:
    """A process per CPU."""
    return running([pypi.tool("celery"), *_WORKER], folder / "celery-worker.log", **env)


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
