"""Takes from the queue only as many jobs as there are free places, and runs each."""

import asyncio

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, TaskQueue
from services.executor.runner import Runner

log = logger()

_WAIT_S = 2.0  # one wait for messages; also how long stopping may take when nothing comes
_OUTAGE_S = 0.5  # between tries while the queue is down


class Poller:
    """One per executor."""

    def __init__(self, queue: TaskQueue, runner: Runner, places: int, wait_s: float = _WAIT_S) -> None:
        self._queue = queue
        self._runner = runner
        self._places = places
        self._wait_s = wait_s
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def free(self) -> int:
        """How many jobs could be taken now."""
        return self._places - len(self._running)

    async def run(self) -> None:
        """Take and run until `stop`."""
        while not self._stopping:
            if not self.free:
                self._changed.clear()
                await self._changed.wait()
                continue
            for delivery in await self._receive():
                if self._stopping:
                    await self._runner.refuse(delivery)
                else:
                    self._begin(delivery)

    async def _receive(self) -> list[Delivery]:
        try:
            return await self._queue.receive(self.free, self._wait_s)
        except UnavailableError as error:
            log.warning("nothing can be received", error=error.message)
            await asyncio.sleep(_OUTAGE_S)
            return []

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._runner.handle(delivery))
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed; it stays on the queue", exc_info=error)

    def stop(self) -> None:
        """Take no more."""
        self._stopping = True
        self._changed.set()

    async def drain(self, grace_s: float) -> None:
        """Let what runs finish for `grace_s`, then hand the rest back to the queue."""
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=grace_s)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
