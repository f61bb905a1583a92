"""Receives as many messages as there are free places, the sync lane first, and runs their jobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, TaskQueue
from services.executor.delivery.owner import JobOwner
from services.executor.delivery.places import Place, Places
from services.executor.pool.choices import async_room

log = logger()

_END_S = 5.0  # for cancelled jobs to be recorded
_OUTAGE_S = 0.5  # between tries while a backend is down
_CALLS_COME_S = 0.05  # after a sync call this recent another one is expected
_FULL_S = 0.01  # while only sync jobs may be begun: between checks for room for async ones


class Poller:
    """Receives for one executor. `wait_s` bounds one wait for messages, and so the time that stopping takes."""

    def __init__(self, queue: TaskQueue, runner: JobOwner, places: int, wait_s: float) -> None:
        self._queue = queue
        self._runner = runner
        self._count = places
        self._wait_s = wait_s
        self._running: set[asyncio.Task[None]] = set()  # jobs that wait for their turn included
        self._called_at = float("-inf")  # monotonic seconds
        self._changed = asyncio.Event()
        self._places = Places(places, self._changed.set)
        self._stopping = False

    @property
    def free(self) -> int:
        """Return the number of free places."""
        return self._places.free

    async def run(self) -> None:
        """Receive messages and run their jobs until `stop`."""
        while not self._stopping:
            if not self.free:
                self._changed.clear()
                await self._changed.wait()
            elif not await self._runner.ready():
                await asyncio.sleep(_OUTAGE_S)
            elif room := self.free:
                for delivery in await self._receive(room):
                    await self._take(delivery)

    async def _receive(self, room: int) -> list[Delivery]:
        sync_active = time.monotonic() - self._called_at < _CALLS_COME_S
        async_count = room
        if self._queue.has_lanes:
            async_count = async_room(self._count, self._places.taken_async, sync_active=sync_active)
        try:
            if not async_count and not sync_active:
                return await self._receive_calls(room)
            return await self._queue.receive(room, self._wait_s if async_count else _FULL_S, async_count=async_count)
        except UnavailableError as error:
            log.warning("nothing can be received", error=error.message)
            await asyncio.sleep(_OUTAGE_S)
            return []

    async def _receive_calls(self, room: int) -> list[Delivery]:
        """Receive sync jobs only. When none is there, wait up to `_FULL_S` for a job to end."""
        self._changed.clear()
        found = await self._queue.receive(room, 0, async_count=0)
        if not found:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FULL_S):
                    await self._changed.wait()
        return found

    async def _take(self, delivery: Delivery) -> None:
        if self._stopping or not self.free:  # a job whose turn came has had its place back meanwhile
            await self._runner.refuse(delivery)
            return
        if delivery.sync:
            self._called_at = time.monotonic()
        task = asyncio.create_task(self._handle(delivery, self._places.take(sync=delivery.sync)))
        self._running.add(task)
        task.add_done_callback(self._end)

    async def _handle(self, delivery: Delivery, place: Place) -> None:
        try:
            await self._runner.handle(delivery, place)
        finally:
            place.leave()

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed; it stays on the queue", exc_info=error)

    def stop(self) -> None:
        """Stop receiving messages, and send those that wait for their turn back to the queue."""
        self._stopping = True
        self._runner.close()
        self._changed.set()

    async def drain(
        self, grace_s: float, hurry: Awaitable[object] | None = None, end: Callable[[], None] | None = None
    ) -> None:
        """Let running jobs finish for `grace_s` or until `hurry` ends, then hand the rest back to the queue.

        With `end`, which cancels the jobs that run, only those are handed back that cannot be ended either.
        """
        if not self._running:
            return
        running = list(self._running)
        finished = asyncio.ensure_future(asyncio.wait(running))
        hurried = asyncio.ensure_future(hurry or asyncio.Event().wait())
        await asyncio.wait([finished, hurried], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        if end is not None and not finished.done():
            end()
            await asyncio.wait([finished], timeout=_END_S)
        for task in (finished, hurried, *running):
            task.cancel()
        await asyncio.gather(finished, hurried, *running, return_exceptions=True)
