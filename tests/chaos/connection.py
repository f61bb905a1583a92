"""A small keep-alive HTTP/1.1 client for JSON, one request at a time."""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class BrokenError(Exception):
    """The connection ended before the complete answer: the outcome of the request is unknown."""


class NotReachedError(Exception):
    """No server listens: the request was not sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Connection:
    """A connection to host:port, opened on first use and again after it broke."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None, *, timeout_s: float, **headers: str) -> Answer:
        """Send a request and return its answer. NotReachedError or BrokenError."""
        reader, writer = await self._open()
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.address}", f"content-length: {len(content)}"]
        lines += ["content-type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        try:
            async with asyncio.timeout(timeout_s):
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                return await _answer(reader)
        except (OSError, EOFError, TimeoutError) as error:  # TimeoutError is an OSError, named for clarity
            self.close()
            raise BrokenError(repr(error)) from error
        except BaseException:
            self.close()
            raise

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the server closed it while idle
        if self._streams is None:
            host, _, port = self.address.rpartition(":")
            try:
                self._streams = await asyncio.open_connection(host, int(port))
            except OSError as error:
                raise NotReachedError(repr(error)) from error
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return Answer(int(head.split(b" ", 2)[1]), json.loads(body) if body else None)
