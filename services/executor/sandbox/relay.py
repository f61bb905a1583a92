"""Relays a sandbox's connections on `ai.sock` to the AI node, and to nothing else.

Bytes are passed on unchanged, so requests keep the Host 127.0.0.1:11434. Ollama accepts that, and an endpoint with
several sites must accept it, too.
"""

import asyncio
import contextlib
import json
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from pathlib import Path

from nanogrid.logs import logger
from services.executor.sandbox.ai_node import AiNode
from services.executor.sandbox.link import bind

log = logger()

_Streams = tuple[StreamReader, StreamWriter]

_CONNECTIONS = 32  # of one sandbox at a time. More wait in the kernel, at no cost to the executor
_WAITING = 128  # above the 64 that PID 1 passes on at a time, because the kernel refuses further ones
_CHUNK_BYTES = 64 * 1024
_LINGER_S = 5.0  # for an answered function to finish sending before its connection is closed
_RETRY_S = 0.1  # after a failed accept, when the executor is out of descriptors


class Relay:
    """The relay of one sandbox. `close` ends all connections."""

    def __init__(self, folder: Path, uid: int, node: AiNode) -> None:
        """Start listening, for `uid` only. PID 1 looks for the socket at its start."""
        self._node = node
        self._socket = bind(folder, "ai.sock", uid)
        self._socket.listen(_WAITING)
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept(), name="ai relay")
        self._down = False

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        tasks = [self._accepting, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("a sandbox's connection to the AI node was not accepted", error=str(error))
                self._free.release()
                await asyncio.sleep(_RETRY_S)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the relay to the AI node failed", exc_info=error)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_CHUNK_BYTES)
        # `drain` waits until the kernel has all bytes, so that a slow reader costs no memory.
        writer.transport.set_write_buffer_limits(0)
        with _hanging_up(writer):
            first = await reader.read(_CHUNK_BYTES)  # without a request the node is not contacted
            if not first:
                return
            try:
                there = await self._node.connect()
            except OSError as error:
                self._report(error)
                writer.write(_bad_gateway(error))
                await writer.drain()
            else:
                self._down = False
                with _hanging_up(there[1]):
                    there[1].write(first)
                    await _exchange((reader, writer), there)
            await _dismiss(reader, writer)

    def _report(self, error: OSError) -> None:
        """Log an outage once, because functions may retry often."""
        if not self._down:
            log.warning("the AI node cannot be reached", host=self._node.host, port=self._node.port, error=str(error))
        self._down = True


@contextlib.contextmanager
def _hanging_up(writer: StreamWriter) -> Iterator[None]:
    """Close a connection at the end of the block. A lost connection is no error."""
    try:
        yield
    except OSError:
        pass
    finally:
        writer.transport.abort()


async def _exchange(function: _Streams, node: _Streams) -> None:
    """Pass on both directions until the node has sent everything. OSError when either end goes away."""
    asking = asyncio.create_task(_pass_on(function[0], node[1]))
    try:
        await _pass_on(node[0], function[1])
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _pass_on(source: StreamReader, sink: StreamWriter) -> None:
    try:
        while data := await source.read(_CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
    finally:
        _end(sink)


def _end(sink: StreamWriter) -> None:
    """Send EOF. TLS has no half-close, so there the node learns it when the connection is closed."""
    with contextlib.suppress(OSError, RuntimeError):  # uvloop raises RuntimeError for a lost connection
        if sink.can_write_eof():
            sink.write_eof()


async def _dismiss(reader: StreamReader, writer: StreamWriter) -> None:
    """Send EOF and read the rest, because closing with unread data would make the function lose its answer."""
    _end(writer)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(_CHUNK_BYTES):
                pass


def _bad_gateway(error: OSError) -> bytes:
    """Return an answer in the form of Ollama's errors, without the node's address, which functions need not know."""
    reason = "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    body = json.dumps({"error": f"the AI node cannot be reached: {reason}"}).encode()
    head = (
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
