"""Programs of this machine: started at little cost where that is timed, and servers that leave nothing behind."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_STOP_S = 90.0  # a grid removes its sandboxes first


class PeerMissingError(Exception):
    """A peer cannot be measured here; the message says why."""


def program(name: str) -> str:
    """Where a program is. PeerMissingError when it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise PeerMissingError(f"{name} is not installed")
    return found


def run(argv: Sequence[str]) -> bytes:
    """Run a program (an absolute path) and return its stdout; costs less than subprocess, and the cost is timed too."""
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, writing, 1)]
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        output = pipe.readall()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(argv)} failed ({os.waitstatus_to_exitcode(status)}): {output[-500:]!r}")
    return output


@contextmanager
def running(argv: Sequence[str], log: Path, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server, ended with whatever it started; what it says goes to `log`."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=os.environ | env, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop, then kill what is left of its session, which is its own."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Look again and again. TimeoutError says what did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.05)
