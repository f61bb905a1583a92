"""AWS's Lambda runtime interface emulator with AWS's Python runtime: one call at a time, no queue, no isolation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.arms import EVENT
from benchmarks.grid import HANDLER
from benchmarks.http_client import Connection, request
from benchmarks.peers import pypi
from benchmarks.processes import running


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Connection, bytes]]:
    """A warm emulator, outside any container: a connection to it and the call to send."""
    task_root = str(HANDLER.parent)
    port, inner = pypi.free_port(), pypi.free_port()
    argv = [
        str(pypi.emulator()),
        *("--log-level", "error"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{inner}"),
        *(pypi.tool("python"), "-m", "awslambdaric", "handler.handler"),
    ]
    with running(argv, folder / "rie.log", LAMBDA_TASK_ROOT=task_root, PYTHONPATH=task_root):
        pypi.wait_for_port(port)
        connection = Connection(f"127.0.0.1:{port}")
        try:
            packed = request(f"127.0.0.1:{port}", "/2015-03-31/functions/function/invocations", EVENT)
            connection.call(packed)
            yield connection, packed
        finally:
            connection.close()
