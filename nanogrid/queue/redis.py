"""TaskQueue on a Redis stream with a consumer group; a sorted set holds what waits for its delay."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, Depth, ReceiptLostError
from nanogrid.redis import Together, connect, translated

log = logger()

_STREAM = "queue:tasks"
_DELAYED = "queue:delayed"  # zset: member "{receives}:{unique}:{body}", score due time in ms
_DEAD = "queue:dead"
_GROUP = "executors"
_TOGETHER_S = 0.005  # deletions of this long travel together
_UPKEEP_S = 1.0  # how often a receiver looks for due delays and for messages of dead receivers

# Moves what is due from the delayed set to the stream. Redis's own clock, so receivers need not agree on theirs.
_PROMOTE = """
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now[1] * 1000 + math.floor(now[2] / 1000), 'LIMIT', 0, 100)
for _, member in ipairs(due) do
  local receives, body = string.match(member, '^(%d+):[^:]*:(.*)$')
  redis.call('XADD', KEYS[1], '*', 'b', body, 'r', receives)
  redis.call('ZREM', KEYS[2], member)
end
return #due
"""

# Every change of a held message first proves that this consumer still holds it.
_HELD = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #held == 0 or held[1][2] ~= ARGV[2] then return 0 end
"""

_EXTEND = _HELD + "redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID') return 1"

_RELEASE = (
    _HELD
    + """
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + tonumber(ARGV[4])
redis.call('ZADD', KEYS[2], due, ARGV[5] .. ':' .. ARGV[3] .. ':' .. ARGV[6])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
"""
)

_BURY = (
    _HELD
    + """
redis.call('XADD', KEYS[2], '*', 'b', ARGV[4], 'reason', ARGV[5], 'receives', ARGV[6])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
"""
)


@asynccontextmanager
async def open_redis_queue(url: str, consumer: str, visibility_s: float) -> AsyncIterator["RedisQueue"]:
    """Connect to the stream, making its consumer group if need be."""
    async with connect(url) as client:
        queue = RedisQueue(client, consumer, int(visibility_s * 1000), Together(client))
        await queue.ensure_group()
        try:
            yield queue
        finally:
            await queue.close()


@dataclass(slots=True)
class RedisQueue:
    """A stream `queue:tasks`; a message held longer than the visibility time may be taken by any receiver.

    Each held message is deleted when done, so the stream is as long as what is not done.
    """

    _redis: Redis
    _consumer: str
    _visibility_ms: int
    _together: Together
    _next_upkeep: float = 0.0  # monotonic seconds
    _done: list[str] = field(default_factory=list)  # receipts to delete next
    _deleting: "asyncio.Task[None] | None" = None
    _adopted: bool = False  # whether what an earlier process of this consumer's name held was looked for

    async def ensure_group(self) -> None:
        """Make the consumer group; it starts at the stream's beginning so that nothing sent earlier is passed over."""
        async with translated("the queue"):
            try:
                await self._redis.xgroup_create(_STREAM, _GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def send(self, body: bytes) -> None:
        """See the port."""
        async with translated("the queue"):
            await self._together.run("XADD", _STREAM, "*", "b", body)

    async def receive(self, max_count: int, wait_s: float) -> list[Delivery]:
        """See the port. What a crashed process of this name held comes first, then what other dead ones did."""
        deadline = time.monotonic() + wait_s
        while True:
            async with translated("the queue"):
                found = await self._abandoned(max_count) or await self._new(max_count, deadline - time.monotonic())
            if found or time.monotonic() >= deadline:
                return found

    async def _abandoned(self, max_count: int) -> list[Delivery]:
        if time.monotonic() < self._next_upkeep:
            return []
        if not self._adopted:
            self._adopted = True
            held = await self._redis.xreadgroup(_GROUP, self._consumer, {_STREAM: "0"}, count=max_count)
            if entries := [entry for entry in _entries(held) if entry[1]]:
                return [await self._again(entry) for entry in entries]
        await self._redis.eval(_PROMOTE, 2, _STREAM, _DELAYED)
        await self.ensure_group()  # also after Redis was flushed
        taken = await self._redis.xautoclaim(
            _STREAM, _GROUP, self._consumer, self._visibility_ms, start_id="0-0", count=max_count
        )
        found = [await self._again(entry) for entry in taken[1] if entry[1]]
        if not found:
            self._next_upkeep = time.monotonic() + _UPKEEP_S
        return found

    async def _new(self, max_count: int, left_s: float) -> list[Delivery]:
        block_ms = max(1, int(min(_UPKEEP_S, left_s) * 1000))
        try:
            answer = await self._redis.xreadgroup(
                _GROUP, self._consumer, {_STREAM: ">"}, count=max_count, block=block_ms
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            return []  # flushed in between; upkeep makes the group again
        return [_delivery(entry, 1) for entry in _entries(answer)]

    async def _again(self, entry: Any) -> Delivery:
        pending = await self._redis.xpending_range(_STREAM, _GROUP, min=entry[0], max=entry[0], count=1)
        return _delivery(entry, pending[0]["times_delivered"] if pending else 2)

    async def extend(self, delivery: Delivery) -> None:
        """See the port."""
        await self._held(_EXTEND, [_STREAM], delivery, [])

    async def release(self, delivery: Delivery, delay_s: float) -> None:
        """See the port."""
        args: list[Any] = [int(delay_s * 1000), delivery.receives, delivery.body]
        await self._held(_RELEASE, [_STREAM, _DELAYED], delivery, args)

    async def delete(self, delivery: Delivery) -> None:
        """See the port. Whoever finished the job may delete, also after its visibility ran out."""
        self._done.append(delivery.receipt)
        if self._deleting is None:
            self._deleting = asyncio.create_task(self._delete_soon())

    async def _delete_soon(self) -> None:
        await asyncio.sleep(_TOGETHER_S)
        self._deleting = None
        try:
            await self.flush()
        except UnavailableError as error:
            log.warning("deleted later", error=error.message)  # with the next; until then they are received again

    async def flush(self) -> None:
        """Delete now what is done."""
        if not (receipts := self._done):
            return
        self._done = []
        try:
            async with translated("the queue"), self._redis.pipeline(transaction=False) as pipe:
                pipe.xack(_STREAM, _GROUP, *receipts)
                pipe.xdel(_STREAM, *receipts)
                await pipe.execute()
        except UnavailableError:
            self._done += receipts
            raise

    async def close(self) -> None:
        """Delete what is done; while Redis is down it stays, and is received once more."""
        if self._deleting is not None:
            self._deleting.cancel()
        with contextlib.suppress(UnavailableError):
            await self.flush()

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        await self._held(_BURY, [_STREAM, _DEAD], delivery, [delivery.body, reason, delivery.receives])

    async def depth(self) -> Depth:
        """See the port."""
        await self.flush()
        async with translated("the queue"):
            length = await self._redis.xlen(_STREAM)
            held = (await self._redis.xpending(_STREAM, _GROUP))["pending"]
            delayed = await self._redis.zcard(_DELAYED)
            return Depth(max(0, length - held), held, delayed, await self._redis.xlen(_DEAD))

    async def _held(self, script: str, keys: list[str], delivery: Delivery, args: list[Any]) -> None:
        async with translated("the queue"):
            done = await self._redis.eval(script, len(keys), *keys, _GROUP, self._consumer, delivery.receipt, *args)
        if not done:
            raise ReceiptLostError(delivery.receipt)


def _entries(answer: Any) -> list[Any]:
    return answer[0][1] if answer else []


def _delivery(entry: Any, times: int) -> Delivery:
    fields = entry[1]
    return Delivery(
        body=fields[b"b"],
        receipt=entry[0].decode(),
        receives=times + int(fields.get(b"r", 0)),
    )
