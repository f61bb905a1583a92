"""The executor's end of a sandbox's way to the AI node: bytes that arrive on `ai.sock` go there and nowhere else.

Bytes are passed on as they are, so a request keeps the Host it was sent with (127.0.0.1:11434). Ollama takes that. An
endpoint that tells its sites apart by Host has to take it too.
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

_CONNECTIONS = 32  # of one sandbox at a time; more wait in the kernel, where they cost the executor nothing
_WAITING = 128  # PID 1 passes on 64 at a time, and is refused by the kernel rather than made to wait
_CHUNK_BYTES = 64 * 1024
_LINGER_S = 5.0  # how long an answered function may go on talking before it is hung up on
_RETRY_S = 0.1  # after an accept the kernel refused: the executor is out of descriptors


class Relay:
    """One sandbox's. Everything ends with `close`."""

    def __init__(self, folder: Path, uid: int, node: AiNode) -> None:
        """Listen at once, for `uid` only. PID 1 looks for the socket when it starts."""
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
        # Drained means that the kernel has it all: what a function does not read keeps its own connection, not memory.
        writer.transport.set_write_buffer_limits(0)
        with _hanging_up(writer):
            first = await reader.read(_CHUNK_BYTES)  # who says nothing costs the node nothing
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
        """Say it once: how often a function asks again is the function's choice."""
        if not self._down:
            log.warning("the AI node cannot be reached", host=self._node.host, port=self._node.port, error=str(error))
        self._down = True


@contextlib.contextmanager
def _hanging_up(writer: StreamWriter) -> Iterator[None]:
    """Close a connection in any case, with nothing left to send. That an end went away is no error here."""
    try:
        yield
    except OSError:
        pass
    finally:
        writer.transport.abort()


async def _exchange(function: _Streams, node: _Streams) -> None:
    """Pass on both ways until the node has said everything. OSError when either end goes away."""
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
    """Say that nothing more comes. TLS cannot end one way only: there the node learns it when it is hung up on."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: uvloop's word for a connection already gone
        if sink.can_write_eof():
            sink.write_eof()


async def _dismiss(reader: StreamReader, writer: StreamWriter) -> None:
    """End our side, and hear the function out: closing on unread data would take the answer away from it."""
    _end(writer)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(_CHUNK_BYTES):
                pass


def _bad_gateway(error: OSError) -> bytes:
    """Return an answer as Ollama words its errors. Where the node is stays the operator's business."""
    reason = "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    body = json.dumps({"error": f"the AI node cannot be reached: {reason}"}).encode()
    head = (
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
