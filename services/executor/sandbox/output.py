"""Reads a sandbox's output from FIFOs without blocking the loop or losing output before the end of a call."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from services.executor.sandbox import OutputStream
from services.executor.sandbox.cage import hand_over
from services.executor.sandbox.verdict import Exited

Sink = Callable[[OutputStream, bytes], None]

_PIPE_BYTES = 256 * 1024  # four times the default, for fewer switches between writer and reader
_STATUS_BYTES = 16


class Pipe:
    """The executor's end of one FIFO. Open for writing, too, so that it never reads as ended without a writer."""

    def __init__(self, path: Path, uid: int) -> None:
        os.mkfifo(path, 0o600)
        hand_over(path, uid)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # an unprivileged user's quota of pipe pages is used up: the default will do
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def read(self) -> bytes:
        """Read the pending bytes, up to a pipe full. Return b"" without any."""
        try:
            return os.read(self.fd, _PIPE_BYTES)
        except BlockingIOError:
            return b""


class Output:
    """The FIFOs of one sandbox. Output between calls is dropped."""

    def __init__(self, folder: Path, uid: int) -> None:
        self._pipes: dict[OutputStream, Pipe] = {}
        self._sink: Sink | None = None
        self._loop = asyncio.get_running_loop()
        self.exit_status: asyncio.Future[Exited] = self._loop.create_future()
        for stream in OutputStream:
            pipe = self._pipes[stream] = Pipe(folder / stream.value, uid)
            self._loop.add_reader(pipe.fd, self._pass_on, stream, pipe)
        self._status = Pipe(folder / "status", uid)
        self._loop.add_reader(self._status.fd, self.learn_status)

    def begin(self, sink: Sink) -> None:
        """Drop the output since the last call, then send everything to `sink`."""
        self.drain()
        self._sink = sink

    def end(self) -> None:
        """Pass on the output until now, then stop."""
        self.drain()
        self._sink = None

    def drain(self) -> None:
        """Read the current content of the pipes, at most their size, so that an endless writer cannot block."""
        for stream, pipe in self._pipes.items():
            left = _PIPE_BYTES
            while left > 0 and (piece := pipe.read()):
                left -= len(piece)
                self._hand(stream, piece)

    def close(self) -> None:
        """Close the FIFOs. Idempotent."""
        for pipe in (*self._pipes.values(), self._status):
            if pipe.fd >= 0:
                self._loop.remove_reader(pipe.fd)
                os.close(pipe.fd)
                pipe.fd = -1
        self._pipes.clear()
        self.exit_status.cancel()

    def _pass_on(self, stream: OutputStream, pipe: Pipe) -> None:
        piece = pipe.read()
        if piece:
            self._hand(stream, piece)

    def _hand(self, stream: OutputStream, piece: bytes) -> None:
        if self._sink is not None:
            self._sink(stream, piece)

    def learn_status(self) -> None:
        """Read the exit status, if it is there."""
        said = self._status.read()[:_STATUS_BYTES]
        if said and not self.exit_status.done():
            code, number, *_ = (*said.split(b"\n"), b"")
            self.exit_status.set_result(Exited(_number(code), _number(number)))


def _number(digits: bytes) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) <= len("255") else None
