"""Runs a Redis server for a local grid that has none configured."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nanogrid.errors import StartError, UnavailableError
from nanogrid.local import redis_server
from nanogrid.redis.check import check_redis
from services.local import ports
from services.local.plan import Child
from services.local.settings import LocalGridSettings
from services.local.supervisor import Supervised, keeping

START_S = 60.0  # reading a long append-only file takes a while
_POLL_S = 0.02


@asynccontextmanager
async def serving(settings: LocalGridSettings, data_dir: Path, lock: int) -> AsyncIterator[str]:
    """Yield the URL of the configured Redis, or of a Redis server that runs for the length of the block."""
    if settings.redis_url or settings.redis_host:
        try:
            await check_redis(settings.jobs_url, may_evict=settings.redis_may_evict)
        except UnavailableError as error:
            raise StartError(f"{error.message}; see NANOGRID_REDIS_URL, or REDIS_HOST and REDIS_PORT") from None
        yield settings.jobs_url
        return
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    host, port = ports.split(ports.choose_ports("127.0.0.1:0", "NANOGRID_REDIS_URL"))
    argv = redis_server.command(redis_server.find(redis_server.candidates()), port, folder)
    child = Child("redis", argv, dict(os.environ), pass_fds=(lock,))
    async with keeping([[child]], data_dir / "logs") as [kept]:
        await _answers(host, port, kept)
        yield f"redis://{host}:{port}/0"


async def _answers(host: str, port: int, kept: Supervised) -> None:
    try:
        async with asyncio.timeout(START_S):
            while not await _pong(host, port):
                if kept.cannot_start.is_set():
                    raise StartError(f"Redis does not start: {kept.last_words}; see {kept.log}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StartError(f"Redis did not answer within {START_S:.0f} s; see {kept.log}") from None


async def _pong(host: str, port: int) -> bool:
    """Return whether Redis serves. It answers -LOADING while it reads its file."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    except OSError:
        return False
    finally:
        writer.close()
