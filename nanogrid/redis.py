"""How every process speaks to Redis: bounded waits, commands that travel together, outages told in our own words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import UnavailableError

_ANSWER_S = 5.0  # longest wait for an answer; blocking reads wait less than this
_CONNECTIONS = 64  # per process; a caller beyond it waits its turn
_NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF")  # answers of a server that takes no writes


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """Yield a client. It connects lazily and again by itself; keys and values are bytes."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=2.0,
        health_check_interval=0,
        # One more try at once: a connection that died while it lay in the pool is found out only by using it.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        protocol=2,
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


@asynccontextmanager
async def translated(what: str) -> AsyncIterator[None]:
    """Turn an outage of Redis into UnavailableError; a mistake of ours stays what it is."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise UnavailableError(f"{what} cannot be reached; nothing was accepted, try again") from error
    except ResponseError as error:
        if str(error).startswith(_NOT_NOW):
            raise UnavailableError(f"{what} does not take writes now; try again") from error
        raise
    except RedisError as error:
        raise UnavailableError(f"{what} failed; try again") from error


class Together:
    """Sends the commands of one turn of the event loop in one piece: under load a command costs a third.

    Commands of different callers keep their order but are not atomic together. Errors go to their own caller.
    """

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, *command: Any) -> Any:
        """Run one command and answer what Redis answers. RedisError as from the client itself."""
        answer = asyncio.get_running_loop().create_future()
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        self._waiting.append((command, answer))
        return await answer

    def _begin(self) -> None:
        task = asyncio.create_task(self._send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            answers = await self._ask([command for command, _ in batch])
        except (RedisError, OSError) as error:
            answers = [error] * len(batch)
        self._tell(batch, answers)

    async def _ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        if len(commands) == 1:  # a pipeline for one would cost more than the command
            return [await self._redis.execute_command(*commands[0])]
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await pipe.execute(raise_on_error=False)

    def _tell(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]], answers: list[Any]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # whoever asked was cancelled
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


class Script:
    """A Lua script on one key, loaded when Redis does not know it (any more)."""

    def __init__(self, client: Redis, together: Together, text: str) -> None:
        self._redis = client
        self._together = together
        self._text = text
        self._sha: str = client.register_script(text).sha

    async def __call__(self, key: str, args: list[Any]) -> Any:
        """Run it. RedisError as from the client itself."""
        try:
            return await self._together.run("EVALSHA", self._sha, 1, key, *args)
        except NoScriptError:
            await self._redis.script_load(self._text)
            return await self._together.run("EVALSHA", self._sha, 1, key, *args)
