"""A limited cgroup and a process that fills it, so that memory runs short for real and no further than that."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.executor.sandbox.cgroup import mounts
from services.executor.sandbox.process_group import executor_groups

_LIMITS = ("memory.limit_in_bytes", "memory.max")  # of cgroup v1 and v2
_JOINS = "import sys; sys.stdin.buffer.raw.read(1); exec(sys.argv[1])"
_FILLS = "held = b'x' * {size_bytes}; print('filled', flush=True); sys.stdin.read()"


class LimitedMemory:
    """A cgroup with a memory limit, for processes that a test moves into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))

    @contextmanager
    def running(self, code: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a Python program in it, and kill that at the end. Its input stays open."""
        command = [sys.executable, "-c", _JOINS, code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                self.add(process.pid)
                assert process.stdin is not None
                process.stdin.write(b"\n")  # only now it begins, so that all its memory counts here
                process.stdin.flush()
                yield process
            finally:
                process.kill()

    @contextmanager
    def filled(self, size_bytes: int) -> Iterator[None]:
        """Take so much memory for the time of the block."""
        with self.running(_FILLS.format(size_bytes=size_bytes)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"filled\n"
            yield


@contextmanager
def limited_memory(name: str, size_bytes: int) -> Iterator[LimitedMemory]:
    """Make the cgroup. What is left in it goes to the root at the end. Skip without root, or fail in CI."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("cgroups need root")
    mounted = mounts()
    top = mounted["memory" if "memory" in mounted else ""].point
    bases = executor_groups(f"memory-{name}")
    folder = next(base for base in bases if base.is_relative_to(top)) / "limited"
    folder.mkdir()
    [limit] = [folder / file for file in _LIMITS if (folder / file).exists()]
    limit.write_text(str(size_bytes))
    try:
        yield LimitedMemory(folder)
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            (top / "cgroup.procs").write_text(pid)
        for made in (folder, *bases):
            made.rmdir()
