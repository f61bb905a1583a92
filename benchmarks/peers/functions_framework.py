"""Google's functions-framework: one function served over HTTP, no queue, no isolation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.arms import EVENT
from benchmarks.grid import HANDLER
from benchmarks.http_client import request
from benchmarks.peers import pypi
from benchmarks.processes import running

_SOURCE = HANDLER.with_name("framework_function.py")


@contextmanager
def serving(folder: Path, workers: int) -> Iterator[tuple[str, bytes]]:
    """A warm server with so many worker processes (it starts one unless told): its address and the call to send."""
    port = pypi.free_port()
    address = f"127.0.0.1:{port}"
    argv = [pypi.tool("functions-framework"), "--source", str(_SOURCE), "--target", "main"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    with running(argv, folder / f"functions-framework-{workers}.log", WORKERS=str(workers)):
        pypi.wait_for_port(port)
        yield address, request(address, "/", EVENT)
