"""An HTTP/1.1 client for measuring: one kept connection, requests built beforehand, nothing parsed but the length."""

import json
import re
import socket
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TIMEOUT_S = 60.0


def request(address: str, path: str, body: Any) -> bytes:
    """A POST of `body` as JSON, as bytes."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Connection:
    """One kept connection to host:port. One request at a time."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.began = 0.0  # for who measures several of these at once

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, packed: bytes) -> None:
        """Send a whole request."""
        self._socket.sendall(packed)

    def receive(self) -> bytes | None:
        """Read once; the answer's body when it is complete. RuntimeError for any status but 200."""
        piece = self._socket.recv(65536)
        if not piece:
            raise RuntimeError("the server hung up in the middle of an answer")
        self._received += piece
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length and len(body) < int(length[1])):
            return None
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not the answer that was hoped for: {self._received[:2000].decode(errors='replace')}")
        self._received = b""
        return body

    def call(self, packed: bytes) -> bytes:
        """Send a request and wait for its answer's body."""
        self.send(packed)
        while (body := self.receive()) is None:
            pass
        return body

    def close(self) -> None:
        self._socket.close()
