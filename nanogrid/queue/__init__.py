"""The port TaskQueue: messages that survive their receiver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

__all__ = ["Delivery", "Depth", "ReceiptLostError", "TaskQueue", "open_queue"]


class ReceiptLostError(Exception):
    """The delivery is not ours any more: its visibility ran out and somebody else may have it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, handed to one receiver for as long as it keeps extending it.

    `receives` counts how often it has been handed out, this time included.
    """

    body: bytes
    receipt: str
    receives: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages wait, are held by a receiver, wait for their delay, and are dead-lettered."""

    waiting: int
    in_flight: int
    delayed: int
    dead: int


class TaskQueue(Protocol):
    """At-least-once, unordered. Methods raise UnavailableError while the backend is down; none loses a message."""

    async def send(self, body: bytes) -> None:
        """Add a message; on return it is as durable as the backend makes anything."""

    async def receive(self, max_count: int, wait_s: float) -> list[Delivery]:
        """Take up to `max_count` messages, waiting up to `wait_s` for the first.

        They are invisible to others for the visibility time.
        """

    async def extend(self, delivery: Delivery) -> None:
        """Start the visibility time anew. ReceiptLostError when somebody else may have it."""

    async def release(self, delivery: Delivery, delay_s: float) -> None:
        """Give it back, to be received again after `delay_s`. ReceiptLostError as for extend."""

    async def delete(self, delivery: Delivery) -> None:
        """Done with it: gone within moments, many at a time. Twice is no error, nor is losing one in a crash."""

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Move it to the dead-letter queue with the reason."""

    async def depth(self) -> Depth:
        """Count messages; approximate where the backend is."""


@asynccontextmanager
async def open_queue(url: str, consumer: str, visibility_s: float = 300.0) -> AsyncIterator[TaskQueue]:
    """Open the queue behind `url`. `consumer` names this process among the receivers."""
    scheme = urlsplit(url).scheme
    if scheme not in ("redis", "rediss"):
        raise ValueError(f"NANOGRID_QUEUE_URL: scheme {scheme!r} is not known; use redis://host:port/db")
    from nanogrid.queue.redis import open_redis_queue  # noqa: PLC0415 - an adapter loads its SDK on use

    async with open_redis_queue(url, consumer, visibility_s) as queue:
        yield queue
