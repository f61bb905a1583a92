"""A unix socket that passes everything on to another, and can be taken away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class UnixProxy:
    """Connections end with it, as those of a daemon do."""

    def __init__(self, upstream: str, path: Path) -> None:
        self._upstream = upstream
        self._path = path
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def close(self) -> None:
        """Refuse what comes, and break off what is there."""
        assert self._server is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, here = await asyncio.open_unix_connection(self._upstream)
            try:
                await asyncio.gather(_copy(reader, here), _copy(there, writer))
            finally:
                writer.transport.abort()
                here.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


@asynccontextmanager
async def unix_proxy(upstream: str, path: Path) -> AsyncIterator[UnixProxy]:
    """Open a proxy at `path`."""
    proxy = UnixProxy(upstream, path)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
