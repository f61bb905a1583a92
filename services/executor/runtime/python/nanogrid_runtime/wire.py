"""Sends and receives frames on the control socket: 4 bytes of big-endian length, 1 byte of kind, then the body.

The length counts kind and body.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from json import dumps, loads  # by themselves: a function may put others into the module

LENGTH = struct.Struct(">I")

SPECIALISE, CALL = b"S", b"C"
HELLO, READY, FAILED, DONE = b"H", b"R", b"X", b"D"


class Wire:
    """The runtime's end of the control socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this process's copy of the socket."""
        self._socket.close()

    def greet(self) -> None:
        """Send the hello with the runtime's name and version."""
        version = "{}.{}.{}".format(*sys.version_info[:3])
        self.send(HELLO, {"runtime": "python", "version": version, "pid": os.getpid()})

    def receive(self) -> tuple[bytes, memoryview]:
        """Return the next frame's kind and body. EOFError when the executor is gone."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        frame = self._exactly(length)
        return bytes(frame[:1]), frame[1:]

    def send(self, kind: bytes, header: dict, body: bytes | None = None) -> None:
        """Send a frame of JSON, or one of a JSON header and a body after it."""
        head = dumps(header).encode()
        if body is not None:
            head = LENGTH.pack(len(head)) + head
        length = 1 + len(head) + len(body or b"")
        self._socket.sendall(LENGTH.pack(length) + kind + head + (body or b""))

    def _exactly(self, size: int) -> memoryview:
        buffer = memoryview(bytearray(size))
        filled = 0
        while filled < size:
            got = self._socket.recv_into(buffer[filled:])
            if not got:
                raise EOFError
            filled += got
        return buffer


def dial(folder: str) -> Wire:
    """Connect to the executor, which listens in `folder`."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket's path is limited to 107 bytes, which the folder's descriptor avoids.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        connected.connect(f"/proc/self/fd/{descriptor}/control.sock")
    finally:
        os.close(descriptor)
    return Wire(connected)


def next_call(wire: Wire) -> tuple[dict, bytes]:
    """Wait for the next call and return its header and its event as JSON. EOFError after the last one."""
    kind, body = wire.receive()
    if kind != CALL:
        raise EOFError
    (length,) = LENGTH.unpack(body[: LENGTH.size])
    end = LENGTH.size + length
    return loads(bytes(body[LENGTH.size : end])), bytes(body[end:])
