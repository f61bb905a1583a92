"""TaskQueue on two Redis streams with a consumer group. A sorted set holds the messages that wait for their delay."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from nanogrid.batching import Batcher
from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import DeadLetter, Delivery, Depth, ReceiptLostError, scripts
from nanogrid.queue.redis_entries import (
    IS_ASYNC,
    SYNC,
    delivery_of,
    entries_of,
    entry_id_of,
    is_sync,
    letter_of,
    parsed,
    receipt_of,
    stream_of,
)
from nanogrid.redis.client import SharedConnection, connect, translated

log = logger()

_ASYNC = "queue:tasks"
_STREAMS = (SYNC, _ASYNC)
_DELAYED = "queue:delayed"
_DEAD = "queue:dead"
_GROUP = "executors"
_LETTER_ID = re.compile(r"\d{1,20}-\d{1,20}")
_LINGER_S = 0.02  # how long a deletion waits for others
_BATCH = 1_000  # deletions in one command
_UPKEEP_S = 1.0  # how often a receiver looks for due delays and for messages of dead receivers


@asynccontextmanager
async def open_redis_queue(url: str, consumer: str, visibility_s: float) -> AsyncIterator["RedisQueue"]:
    """Connect to the stream, making its consumer group if need be."""
    async with connect(url) as client:
        queue = RedisQueue(
            client, consumer, int(visibility_s * 1000), SharedConnection(client), SharedConnection(client)
        )
        await queue.ensure_group()
        try:
            yield queue
        finally:
            await queue.close()


@dataclass(slots=True)
class RedisQueue:
    """Two lanes: the streams `queue:urgent` (sync) and `queue:tasks` (async).

    A message held longer than the visibility may be taken by any receiver. A message is deleted when it is done, so
    the streams are as long as the work that is left.
    """

    _redis: Any  # redis-py types every answer as a union of what all protocols and modes give
    _consumer: str
    _visibility_ms: int
    _together: SharedConnection
    _blocking: SharedConnection  # a connection of its own, because a command that waits holds up those behind it
    hold_s: float = math.inf
    has_lanes: bool = True
    _next_upkeep: float = 0.0  # monotonic seconds
    _deletes: Batcher[Delivery, None] = field(init=False)
    _undeleted: list[Delivery] = field(default_factory=list)  # while Redis is down
    _more: bool = True  # whether the last look left something behind, as far as is known
    _adopted: bool = False  # whether what an earlier process of this consumer's name held was looked for

    def __post_init__(self) -> None:
        self._deletes = Batcher(self.delete_batch, max_items=_BATCH, linger_s=_LINGER_S)

    async def ensure_group(self) -> None:
        """Make the consumer group. It starts at the streams' beginning so that nothing sent earlier is passed over."""
        async with translated("the queue"):
            for stream in _STREAMS:
                try:
                    await self._redis.xgroup_create(stream, _GROUP, id="0", mkstream=True)
                except ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise

    async def send(self, body: bytes, *, sync: bool = False) -> None:
        """See the port."""
        async with translated("the queue"):
            await self._together.run("XADD", SYNC if sync else _ASYNC, "*", "b", body)

    async def receive(self, max_count: int, wait_s: float, *, async_count: int | None = None) -> list[Delivery]:
        """See the port.

        Messages held by a crashed process of this name come first, then those of other dead receivers.
        """
        deadline = time.monotonic() + wait_s
        most_async = max_count if async_count is None else min(async_count, max_count)
        while True:
            async with translated("the queue"):
                found = await self._abandoned(max_count) or await self._new(
                    max_count, most_async, deadline - time.monotonic()
                )
            if found or time.monotonic() >= deadline:
                return found

    async def _abandoned(self, max_count: int) -> list[Delivery]:
        if time.monotonic() < self._next_upkeep:
            return []
        if not self._adopted:
            self._adopted = True
            held = await self._redis.xreadgroup(_GROUP, self._consumer, dict.fromkeys(_STREAMS, "0"), count=max_count)
            if found := [await self._again(*one) for one in entries_of(held) if one[1][1]]:
                return found
        await self._redis.eval(scripts.PROMOTE, 2, SYNC, _DELAYED)
        await self.ensure_group()  # also after Redis was flushed
        for stream in _STREAMS:
            taken = await self._redis.xautoclaim(
                stream, _GROUP, self._consumer, self._visibility_ms, start_id="0-0", count=max_count
            )
            if found := [await self._again(stream, entry) for entry in taken[1] if entry[1]]:
                return found
        self._next_upkeep = time.monotonic() + _UPKEEP_S
        return []

    async def _new(self, max_count: int, async_count: int, left_s: float) -> list[Delivery]:
        try:
            at_once = left_s <= 0
            found = await self._take(max_count, async_count) if self._more or at_once else []
            if not found and not at_once:
                found = await self._wait(max_count, async_count, left_s)
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._next_upkeep = 0.0  # flushed in between; upkeep makes the groups again
            return []
        while len(found) > max_count:  # one place was free, and each stream gave one
            await self.set_aside(found.pop(), 0)
        return found

    async def _take(self, max_count: int, async_count: int) -> list[Delivery]:
        """Take the messages that are there, the sync lane first."""
        answer = await self._together.run(
            "EVAL", scripts.TAKE, 2, SYNC, _ASYNC, _GROUP, self._consumer, max_count, async_count
        )
        self._more = len(answer) == max_count
        return [
            Delivery(body, receipt_of(key.decode(), entry_id), 1 + receives, sync=is_sync(key.decode(), lane))
            for key, entry_id, body, receives, lane in answer
        ]

    async def _wait(self, max_count: int, async_count: int, left_s: float) -> list[Delivery]:
        # Redis counts per stream, so each gives half of what is asked for; `_take` fetches the rest.
        count = min(max(1, max_count // 2), async_count) if async_count else max_count
        streams = _STREAMS if async_count else (SYNC,)
        block_ms = max(1, int(min(_UPKEEP_S, left_s) * 1000))
        how = ("GROUP", _GROUP, self._consumer, "COUNT", count, "BLOCK", block_ms)
        try:
            answer = await self._blocking.run("XREADGROUP", *how, "STREAMS", *streams, *[">"] * len(streams))
        except asyncio.CancelledError:
            self._blocking.hang_up()  # or the next message would come to nobody
            raise
        found = [delivery_of(stream, entry, 1) for stream, entry in entries_of(parsed(answer))]
        self._more = len(found) >= count
        return found

    async def _again(self, stream: str, entry: Any) -> Delivery:
        pending = await self._redis.xpending_range(stream, _GROUP, min=entry[0], max=entry[0], count=1)
        return delivery_of(stream, entry, pending[0]["times_delivered"] if pending else 2)

    async def extend(self, delivery: Delivery) -> None:
        """See the port."""
        await self._held(scripts.EXTEND, [], delivery, [])

    async def release(self, delivery: Delivery, delay_s: float) -> None:
        """See the port."""
        await self._give_back(delivery, delay_s, delivery.receives)

    async def set_aside(self, delivery: Delivery, delay_s: float) -> None:
        """See the port."""
        await self._give_back(delivery, delay_s, delivery.receives - 1)

    async def _give_back(self, delivery: Delivery, delay_s: float, receives: int) -> None:
        args = [int(delay_s * 1000), receives, delivery.body, "" if delivery.sync else IS_ASYNC]
        await self._held(scripts.RELEASE, [_DELAYED, SYNC], delivery, args)

    async def delete(self, delivery: Delivery) -> None:
        """See the port. The owner that finished a job may delete, also after the message's visibility ran out."""
        self._deletes.add(delivery)

    async def delete_batch(self, done: Sequence[Delivery]) -> Sequence[None]:
        """Delete messages in one turn. Those of an outage are tried again with the next."""
        self._undeleted, ended = [], [*self._undeleted, *done]
        try:
            async with translated("the queue"):
                run = self._together.run
                for stream in _STREAMS:
                    if ids := [entry_id_of(one) for one in ended if stream_of(one) == stream]:
                        await asyncio.gather(run("XACK", stream, _GROUP, *ids), run("XDEL", stream, *ids))
        except UnavailableError as error:
            self._undeleted += ended
            log.warning("done messages stay on the queue for now", error=error.message)
        return [None] * len(done)

    async def flush(self) -> None:
        """Delete the finished messages now."""
        await self._deletes.flush()
        if self._undeleted:
            await self.delete_batch([])

    async def close(self) -> None:
        """Delete the finished messages. While Redis is down they stay, and are received once more."""
        await self.flush()

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        await self._held(scripts.BURY, [_DEAD], delivery, [delivery.body, reason, delivery.receives])

    async def depth(self) -> Depth:
        """See the port."""
        await self.flush()
        async with translated("the queue"):
            length = held = 0
            for stream in _STREAMS:
                length += await self._redis.xlen(stream)
                held += await self._held_of(stream)
            delayed = await self._redis.zcard(_DELAYED)
            return Depth(max(0, length - held), held, delayed, await self._redis.xlen(_DEAD))

    async def _held_of(self, stream: str) -> int:
        try:
            return int((await self._redis.xpending(stream, _GROUP))["pending"])
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return 0  # flushed in between; the next receiver makes the group again

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See the port."""
        async with translated("the queue"):
            return [letter_of(entry) for entry in await self._redis.xrange(_DEAD, count=limit)]

    async def redrive(self, letter_ids: Collection[str]) -> int:
        """See the port."""
        ids = [one for one in letter_ids if _LETTER_ID.fullmatch(one)]
        async with translated("the queue"):
            return int(await self._redis.eval(scripts.REDRIVE, 2, _DEAD, _ASYNC, *ids)) if ids else 0

    async def purge(self, letter_ids: Collection[str]) -> int:
        """See the port."""
        ids = [one for one in letter_ids if _LETTER_ID.fullmatch(one)]
        async with translated("the queue"):
            return int(await self._redis.xdel(_DEAD, *ids)) if ids else 0

    async def _held(self, script: str, keys: list[str], delivery: Delivery, args: list[Any]) -> None:
        all_keys = [stream_of(delivery), *keys]
        async with translated("the queue"):
            done = await self._redis.eval(
                script, len(all_keys), *all_keys, _GROUP, self._consumer, entry_id_of(delivery), *args
            )
        if not done:
            raise ReceiptLostError(delivery.receipt)
