"""The executor's end of a control socket: sends one request and reads one frame in reply, of bounded size."""

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from services.executor.sandbox.cage import hand_over
from services.executor.sandbox.frames import HEADER_BYTES, LENGTH, Frame, ProtocolError

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Gone(Exception):  # noqa: N818 - not always an error
    """The other end closed the connection."""


class TooLarge(Exception):  # noqa: N818 - named after its cause
    """A frame is larger than the limit of the answer."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a frame of {size} bytes")
        self.size = size


class ControlConnection(asyncio.Protocol):
    """One connection. Not for concurrent requests. A frame without a request breaks it for good."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._limit = 0
        self._greeted = False  # only the runtime's hello may arrive before a request
        self._answer: asyncio.Future[Frame] | None = None
        self._transport: asyncio.Transport | None = None
        self._end: Exception | None = None
        self.closed = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Return whether a request could still be answered."""
        return self._end is None

    async def ask(self, frame: bytes | None, limit: int, timeout_s: float | None = None) -> Frame:
        """Send `frame` (None: only receive) and return the next one, of at most `limit` bytes.

        Gone, TooLarge and ProtocolError end the connection. TimeoutError after `timeout_s`.
        """
        if self._end is not None:
            raise self._end
        self._limit = limit
        self._greeted = True
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Frame] = loop.create_future()
        self._answer = answer
        timer = None if timeout_s is None else loop.call_later(timeout_s, _time_out, answer)
        try:
            if frame is not None and self._transport is not None:
                self._transport.write(frame)
            self._take()
            return await answer
        finally:
            self._answer = None
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._fail(Gone("closed by the executor"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._end is None:
            self._buffer += data
            self._take()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it, the reason does not matter
        self._fail(Gone("the runtime hung up"))
        self.closed.set()

    def _take(self) -> None:
        if self._answer is None or self._answer.done():
            if self._buffer and (self._greeted or len(self._buffer) > HEADER_BYTES):
                self._fail(ProtocolError("the sandbox spoke without being asked"))
            return
        if len(self._buffer) < LENGTH.size:
            return
        (size,) = LENGTH.unpack_from(self._buffer)
        if not 1 <= size <= self._limit:
            self._fail(TooLarge(size) if size else ProtocolError("an empty frame"))
        elif len(self._buffer) >= LENGTH.size + size:
            frame = memoryview(self._buffer)[LENGTH.size : LENGTH.size + size]
            kind, body = bytes(frame[:1]), bytes(frame[1:])
            frame.release()
            rest = bytes(self._buffer[LENGTH.size + size :])
            self._buffer = bytearray(rest)
            self._answer.set_result(Frame(kind, body))
            if rest:
                self._fail(ProtocolError("the sandbox said more than it was asked"))

    def _fail(self, why: Exception) -> None:
        if self._end is None:
            self._end = why
            self._buffer = bytearray()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(why)
        if self._transport is not None:
            self._transport.abort()


def _time_out(answer: "asyncio.Future[Frame]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


@dataclass(frozen=True, slots=True)
class Listener:
    """A control socket that waits for its runtime to connect."""

    socket: socket.socket
    path: Path

    async def accept(self) -> tuple[ControlConnection, int]:
        """Accept one connection and stop listening. Return it with the pid of its process."""
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self.socket)
        self.close()
        connection.setblocking(False)
        pid, _, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        _, link = await loop.connect_accepted_socket(ControlConnection, connection)
        return link, pid

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def listen(folder: Path, uid: int) -> Listener:
    """Listen on `control.sock` in `folder`, for `uid` only."""
    listener = bind(folder, "control.sock", uid)
    listener.listen(1)
    return Listener(listener, folder / "control.sock")


def bind(folder: Path, name: str, uid: int) -> socket.socket:
    """Return a non-blocking unix socket at `name` in `folder`, for `uid` only."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        # A socket's path is limited to 107 bytes, which the folder's descriptor avoids.
        bound.bind(f"/proc/self/fd/{descriptor}/{name}")
        (folder / name).chmod(0o600)
        hand_over(folder / name, uid)
    except BaseException:
        bound.close()
        raise
    finally:
        os.close(descriptor)
    bound.setblocking(False)
    return bound
