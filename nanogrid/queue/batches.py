"""Calls that travel together, for backends that take several at once and answer for each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nanogrid.errors import NanoGridError

__all__ = ["Batches", "Entry", "Outcome"]

Entry = dict[str, Any]
Outcome = Exception | None  # of one entry: None is success


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    size_bytes: int
    outcome: "asyncio.Future[None]"


class Batches:
    """Takes entries one by one and makes `call` with up to `most` of them, in `lanes` calls at a time.

    A call starts at the end of the event loop's turn, or after `linger_s` unless it is full sooner. While every lane is
    busy, entries gather: the busier, the fewer calls an entry costs. `call` answers with an outcome for each entry;
    what it raises is the outcome of all.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Entry]], Awaitable[Sequence[Outcome]]],
        *,
        lanes: int,
        most: int = 10,
        most_bytes: int | None = None,
        linger_s: float = 0.0,
    ) -> None:
        self._call = call
        self._lanes = lanes
        self._most = most
        self._most_bytes = most_bytes
        self._linger_s = linger_s
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Task[None]] = set()
        self._soon: asyncio.TimerHandle | asyncio.Handle | None = None

    def add(self, entry: Entry, size_bytes: int = 0) -> "asyncio.Future[None]":
        """Have it sent with the next; the future tells how it went. A cancelled caller does not take it back."""
        waiting = _Waiting(entry, size_bytes, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._plan()
        return waiting.outcome

    async def idle(self) -> None:
        """Send what waits now, and return when everything that was added before has its outcome."""
        earlier = [*self._running, *(waiting.outcome for waiting in self._waiting)]
        self._begin()
        if earlier:
            await asyncio.wait(earlier)

    def _plan(self) -> None:
        if len(self._waiting) >= self._most:
            self._begin()
        elif self._waiting and self._soon is None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_later(self._linger_s, self._begin) if self._linger_s else loop.call_soon(self._begin)

    def _begin(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        while self._waiting and len(self._running) < self._lanes:
            task = asyncio.create_task(self._run(self._next()))
            self._running.add(task)
            task.add_done_callback(self._end)

    def _next(self) -> list[_Waiting]:
        """As many as a call takes, in the order they came; one that is too large for company goes alone."""
        size_bytes = 0
        for count, waiting in enumerate(self._waiting[: self._most]):
            size_bytes += waiting.size_bytes
            if count and self._most_bytes is not None and size_bytes > self._most_bytes:
                break
        else:
            count = min(self._most, len(self._waiting))
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._plan()

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._call([waiting.entry for waiting in batch])
        except NanoGridError as error:
            outcomes = [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.outcome.done():
                continue  # whoever asked was cancelled
            if outcome is None:
                waiting.outcome.set_result(None)
            else:
                waiting.outcome.set_exception(outcome)
