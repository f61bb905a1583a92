"""Serves HTTP for the adversarial SQS server: one request at a time per connection, as SDKs send them."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson

from support.sqs.actions import Cloud
from support.sqs.faults import SqsError
from support.sqs.mischief import Mischief

_TARGET = "AmazonSQS."
_JSON = b"application/x-amz-json-1.0"


class Connection(asyncio.Protocol):
    """One connection. Also answers `GET /counters`, `POST /mischief` and `POST /reset`."""

    def __init__(self, cloud: Cloud, alive: "set[Connection]") -> None:
        self._cloud = cloud
        self._alive = alive
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._body = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._acting: asyncio.Task[None] | None = None

    # asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._alive.discard(self)
        self._transport = None
        if self._acting is not None:
            self._acting.cancel()  # the client of this poll has gone

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    # httptools calls

    def on_message_begin(self) -> None:
        self._url, self._body, self._headers = b"", bytearray(), {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._acting = asyncio.get_running_loop().create_task(self._act())

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def _act(self) -> None:
        target = self._headers.get(b"x-amz-target", b"").decode()
        if not target.startswith(_TARGET):
            self._control(self._url.decode())
            return
        action = target.removeprefix(_TARGET)
        origin = "http://" + self._headers.get(b"host", b"").decode()
        try:
            answer = await self._cloud.answer(action, orjson.loads(bytes(self._body) or b"{}"), origin)
        except SqsError as fault:
            self._fail(fault)
            return
        if self._cloud.mischief.strikes("cut", action, self._cloud.calls[action]):
            self.close()
        else:
            self._write(200, orjson.dumps(answer))

    def _fail(self, fault: SqsError) -> None:
        blame = "Sender" if fault.sender else "Receiver"
        told = f"x-amzn-query-error: {fault.code};{blame}\r\n".encode()
        body = {"__type": f"com.amazonaws.sqs#{fault.kind}", "message": fault.message}
        self._write(fault.status, orjson.dumps(body), told)

    def _control(self, path: str) -> None:
        cloud = self._cloud
        asked: dict[str, Callable[[], object]] = {
            "/counters": lambda: {"calls": cloud.calls, "entries": cloud.entries, "struck": cloud.mischief.struck},
            "/mischief": lambda: change(cloud.mischief, orjson.loads(bytes(self._body))),
            "/reset": cloud.reset,
        }
        if path in asked:
            self._write(200, orjson.dumps(asked[path]()))
        else:
            self._write(404, b"{}")

    def _write(self, status: int, body: bytes, headers: bytes = b"") -> None:
        if self._transport is not None:
            head = b"HTTP/1.1 %d -\r\ncontent-type: %b\r\ncontent-length: %d\r\nx-amzn-requestid: 1\r\n"
            self._transport.write(head % (status, _JSON, len(body)) + headers + b"\r\n" + body)


def change(mischief: Mischief, chances: dict[str, Any]) -> None:
    """Set some of the chances."""
    for name, value in chances.items():
        setattr(mischief, name, value)
