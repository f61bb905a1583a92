"""The Docker command line, with the image our own sandboxes have, no limits and no network: its fastest way."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.arms import EVENT
from benchmarks.grid import HANDLER, IMAGE
from benchmarks.processes import program, run

COMMAND = ("python3", "/bench/handler.py", json.dumps(EVENT))


def options() -> list[str]:
    """What every container of a peer is given."""
    return ["--network", "none", "--volume", f"{HANDLER.parent}:/bench:ro"]


def run_once() -> Callable[[object], bytes]:
    """`docker run`: a container per call."""
    argv = [program("docker"), "run", "--rm", *options(), IMAGE, *COMMAND]
    return lambda _: run(argv)


def run_many(count: int, together: int) -> Callable[[object], list[bytes]]:
    """So many containers, some at a time."""
    once = run_once()

    def call(_: object) -> list[bytes]:
        with ThreadPoolExecutor(together) as threads:
            return list(threads.map(once, range(count)))

    return call


@contextmanager
def executing() -> Iterator[Callable[[object], bytes]]:
    """`docker exec`: a process per call in a container that runs already."""
    docker, name = program("docker"), f"nanogrid-benchmark-{uuid.uuid4().hex[:12]}"
    run([docker, "run", "--detach", "--init", "--name", name, *options(), IMAGE, "sleep", "infinity"])
    argv = [docker, "exec", name, *COMMAND]
    try:
        yield lambda _: run(argv)
    finally:
        run([docker, "rm", "--force", name])


def check(answer: bytes) -> None:
    """The event came back."""
    if json.loads(answer) != EVENT:
        raise RuntimeError(f"not the event: {answer!r}")
