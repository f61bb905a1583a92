"""Sends single items to a backend in batches and returns to each caller the answer to its item."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Batcher"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    size_bytes: int
    answer: "asyncio.Future[Answer]"


class Batcher(Generic[Item, Answer]):
    """Collects items and calls `send` with up to `max_items` of them, in at most `max_calls` concurrent calls.

    A call starts at the end of the event loop's turn, or after `linger_s` unless it is full sooner. While all calls are
    running, items accumulate, so slower backends get larger calls. `send` returns one answer for each item, in order.
    An exception in that list fails its item, an exception that `send` raises fails all items of the call.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        max_items: int,
        max_calls: int = 1,
        max_bytes: int | None = None,
        linger_s: float = 0.0,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._linger_s = linger_s
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def add(self, item: Item, size_bytes: int = 0, *, at_once: bool = False) -> "asyncio.Future[Answer]":
        """Queue an item for the next call and return a future of its answer. `at_once` skips `linger_s`.

        Cancelling the caller does not withdraw the item.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, size_bytes, answer))
        if at_once:
            self._begin()
        else:
            self._plan()
        return answer

    async def flush(self) -> None:
        """Send the waiting items now and return when every item added before has its answer."""
        earlier: list[asyncio.Future[Any]] = [*self._running, *(waiting.answer for waiting in self._waiting)]
        self._begin()
        if earlier:
            await asyncio.wait(earlier)

    def _plan(self) -> None:
        if len(self._waiting) >= self._max_items:
            self._begin()
        elif self._waiting and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = (
                loop.call_later(self._linger_s, self._begin) if self._linger_s else loop.call_soon(self._begin)
            )

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and len(self._running) < self._max_calls:
            task = asyncio.create_task(self._run(self._next_batch()))
            self._running.add(task)
            task.add_done_callback(self._end)

    def _next_batch(self) -> "list[_Waiting[Item, Answer]]":
        """Take as many items as one call may carry, in order. An item larger than `max_bytes` goes alone."""
        size_bytes = 0
        for count, waiting in enumerate(self._waiting[: self._max_items]):
            size_bytes += waiting.size_bytes
            if count and self._max_bytes is not None and size_bytes > self._max_bytes:
                break
        else:
            count = min(self._max_items, len(self._waiting))
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._plan()

    async def _run(self, batch: "list[_Waiting[Item, Answer]]") -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._send([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 - passed to the callers, which handle it
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue  # its caller was cancelled
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
