"""The port TaskQueue: messages that survive their receiver."""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

__all__ = ["DeadLetter", "Delivery", "Depth", "ReceiptLostError", "TaskQueue", "open_queue"]


class ReceiptLostError(Exception):
    """The delivery is not ours any more: its visibility ran out and another receiver may have it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, handed to one receiver for as long as it keeps extending it.

    `receives` counts how often it has been handed out, this time included. `sync`: a caller waits for its result.
    """

    body: bytes
    receipt: str
    receives: int
    sync: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up. `reason` is "" where the backend itself moved it, after too many receives."""

    letter_id: str
    body: bytes
    reason: str
    receives: int
    died_at_ms: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages wait, are held by a receiver, wait for their delay, and are dead-lettered."""

    waiting: int
    in_flight: int
    delayed: int
    dead: int


class TaskQueue(Protocol):
    """At-least-once, unordered. Methods raise UnavailableError while the backend is down. None loses a message.

    `hold_s` is how long a receiver may hold one message, extensions included, or math.inf. `has_lanes` says whether the
    backend has a lane for sync messages. Without one, no message is sync when received.
    """

    @property
    def has_lanes(self) -> bool:
        """See the class."""

    @property
    def hold_s(self) -> float:
        """See the class."""

    async def send(self, body: bytes, *, sync: bool = False) -> None:
        """Add a message. On return it is as durable as the backend makes anything.

        Messages of the sync lane are received first where the backend has two lanes.
        """

    async def receive(self, max_count: int, wait_s: float, *, async_count: int | None = None) -> list[Delivery]:
        """Take up to `max_count` messages, of them up to `async_count` of the async lane, waiting up to `wait_s`.

        They are invisible to other receivers for the visibility time. `async_count` None = as many as `max_count`.
        """

    async def extend(self, delivery: Delivery) -> None:
        """Start the visibility time anew. ReceiptLostError when another receiver may have it."""

    async def release(self, delivery: Delivery, delay_s: float) -> None:
        """Give it back after a failed try, to be received again after `delay_s`. ReceiptLostError as for extend."""

    async def set_aside(self, delivery: Delivery, delay_s: float) -> None:
        """Give it back without fault: this receive does not count, and its hold begins anew. Errors as for extend."""

    async def delete(self, delivery: Delivery) -> None:
        """Done with it: gone within moments, many at a time. Twice is no error, nor is losing one in a crash."""

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Move it to the dead-letter queue with the reason."""

    async def depth(self) -> Depth:
        """Count messages. Approximate where the backend is."""

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Look at up to `limit` dead letters, oldest first where there is an order. They stay where they are."""

    async def redrive(self, letter_ids: Collection[str]) -> int:
        """Move these dead letters back to the queue, their receives forgotten. How many were still there."""

    async def purge(self, letter_ids: Collection[str]) -> int:
        """Delete these dead letters. How many were still there."""


@asynccontextmanager
async def open_queue(url: str, consumer: str, visibility_s: float = 300.0) -> AsyncIterator[TaskQueue]:
    """Open the queue behind `url`. `consumer` names this process among the receivers."""
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss"):
        from nanogrid.queue.redis import open_redis_queue  # noqa: PLC0415 - an adapter loads its SDK on use

        opened: AbstractAsyncContextManager[TaskQueue] = open_redis_queue(url, consumer, visibility_s)
    elif scheme == "sqs":
        from nanogrid.queue.sqs import open_sqs_queue  # noqa: PLC0415 - see above

        opened = open_sqs_queue(url, consumer, visibility_s)
    else:
        able = "redis://host:port/db or sqs://queue-name"
        raise ValueError(f"NANOGRID_QUEUE_URL: scheme {scheme!r} is not known; use {able}")
    async with opened as queue:
        yield queue
