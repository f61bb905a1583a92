"""A TCP proxy to a local server that loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.redis_server import free_port


@asynccontextmanager
async def losing_answers(port: int, count: int) -> AsyncIterator[str]:
    """Yield the URL of a proxy to the port. On its first `count` connections requests pass and answers are lost."""
    left = count
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        loses = left > 0
        left -= 1
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ways = [
            asyncio.create_task(_pass_on(reader, back)),
            asyncio.create_task(_lose(there, writer) if loses else _pass_on(there, writer)),
        ]
        serving.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (back, writer):
            end.close()

    listen = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", listen):
        yield f"http://127.0.0.1:{listen}"
        for way in serving:
            way.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (answer := await reader.read(65536)).startswith(b"HTTP/1.1 100"):  # "go on"
        writer.write(answer)
