"""An HTTP proxy in front of a stand-in for AWS that fails some requests as AWS does, repeatable by seed.

Run it with `python -m support.fault_proxy --port 5001 --upstream 127.0.0.1:5000 --seed 7 --errors 0.1`.
"""

import argparse
import asyncio
import json
import random
import re
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_HOP = re.compile(rb"\r\n(?:connection|expect): *[^\r]*", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *DynamoDB", re.IGNORECASE)


@dataclass(slots=True)
class FaultProxy:
    """Answers a share `errors` of the requests with 500 or 503, and loses the answers of a share `cut`.

    GET /fault-proxy returns the counts of both.
    """

    upstream: str  # host:port
    errors: float = 0.0
    cut: float = 0.0
    rng: random.Random = field(default_factory=random.Random)
    refused: int = 0
    lost: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request per connection: botocore opens a new one for the next."""
        try:
            await self._pass_on(reader, writer)
        except (OSError, EOFError):
            pass  # the client hung up and expects no answer
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if _EXPECT.search(head):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, head)
        if head.startswith(b"GET /fault-proxy "):
            writer.write(_json({"struck": {"errors": self.refused, "cut": self.lost}}))
            return
        luck = self.rng.random()
        if luck < self.errors:
            self.refused += 1
            writer.write(_error(head, in_table=bool(_TARGET.search(head)), busy=luck < self.errors / 2))
            await writer.drain()
            return
        answer = await self._ask(head, body)
        if luck < self.errors + self.cut:
            self.lost += 1
            return
        writer.write(answer)
        await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        host, _, port = self.upstream.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(_HOP.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
            return await reader.read()
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Return the body as received, chunk headers included."""
    if length := _LENGTH.search(head):
        return await reader.readexactly(int(length[1]))
    if not _CHUNKED.search(head):
        return b""
    parts = []
    while True:
        size = await reader.readuntil(b"\r\n")
        parts += [size, await reader.readexactly(int(size.split(b";")[0], 16) + 2)]
        if int(size.split(b";")[0], 16) == 0:
            return b"".join(parts)


def _json(said: object) -> bytes:
    body = json.dumps(said).encode()
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _error(head: bytes, *, in_table: bool, busy: bool) -> bytes:
    status = b"503 Service Unavailable" if busy else b"500 Internal Server Error"
    if in_table:
        kind = b"application/x-amz-json-1.0"
        body = b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"bad luck"}'
    else:
        kind, code = b"application/xml", b"SlowDown" if busy else b"InternalError"
        body = b'<?xml version="1.0"?><Error><Code>' + code + b"</Code><Message>bad luck</Message></Error>"
    length = len(body)
    if head.startswith(b"HEAD"):
        body = b""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Content-Length: %d" % length, b"Connection: close"]
    return b"\r\n".join([*lines, b"", body])


async def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--errors", type=float, default=0.0)
    parser.add_argument("--cut", type=float, default=0.0)
    said = parser.parse_args()
    proxy = FaultProxy(said.upstream, said.errors, said.cut, random.Random(said.seed))
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", said.port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
