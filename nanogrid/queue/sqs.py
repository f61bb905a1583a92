"""TaskQueue on an SQS standard queue and its dead-letter queue."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from nanogrid.batching import Batcher
from nanogrid.errors import TooLargeError, UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import DeadLetter, Delivery, Depth, ReceiptLostError
from nanogrid.queue.sqs_address import Address, parse
from nanogrid.queue.sqs_calls import HeldTooLongError, Outcome, SqsCalls, TooManyHeldError
from nanogrid.queue.sqs_letters import SqsLetters
from nanogrid.queue.sqs_wire import BATCH, Entry, attribute, body_of, message, size_of

log = logger()

_BATCH_BYTES = 256 * 1024  # of one call's messages together: what any queue takes
_LONGEST_POLL_S = 20  # what SQS allows
_LONGEST_DELAY_S = 900  # of a message that is sent
_LONGEST_HIDDEN_S = 43200  # of one that was received
_LINGER_S = 0.02  # deletions of this long travel together
_DELETE_AGAIN_S = (0.5, 2.0, 0.0)  # after a failure; then it is left to the message's next receiver
_CLOSING_S = 10.0  # for what is under way when the queue is closed
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@asynccontextmanager
async def open_sqs_queue(
    url: str,
    consumer: str,  # noqa: ARG001 - SQS does not tell its receivers apart
    visibility_s: float,
) -> AsyncIterator["SqsQueue"]:
    """Find the queue and its dead-letter queue. ValueError when the URL is not one of ours."""
    address = parse(url)
    calls = await asyncio.to_thread(SqsCalls, address.region)
    try:
        queue = await _found(calls, address, visibility_s)
        try:
            yield queue
        finally:
            await queue.close()
    finally:
        calls.close()


async def _found(calls: SqsCalls, address: Address, visibility_s: float) -> "SqsQueue":
    what = f"the queue {address.name}"
    url = address.url or (await calls.run("get_queue_url", what, QueueName=address.name))["QueueUrl"]
    answer = await calls.run("get_queue_attributes", what, QueueUrl=url, AttributeNames=["All"])
    known = answer["Attributes"]
    dead = {"QueueName": f"{address.name}-dlq"}
    if policy := json.loads(known.get("RedrivePolicy") or "{}"):
        *_, account, name = policy["deadLetterTargetArn"].split(":")
        dead = {"QueueName": name, "QueueOwnerAWSAccountId": account}
    dead_url = (await calls.run("get_queue_url", f"the dead-letter queue {dead['QueueName']}", **dead))["QueueUrl"]
    most_bytes = int(known.get("MaximumMessageSize", _BATCH_BYTES))
    return SqsQueue(calls, url, dead_url, visibility_s=visibility_s, hold_s=address.hold_s, most_bytes=most_bytes)


class SqsQueue:
    """One lane: `sync` and `async_count` change nothing, SQS keeps no order. Times are whole seconds, rounded up.

    SQS hides a message for twelve hours at most (`hold_s`): the last extension must begin a visibility time before.
    """

    def __init__(
        self, calls: SqsCalls, url: str, dead_url: str, *, visibility_s: float, hold_s: float, most_bytes: int
    ) -> None:
        self.hold_s = hold_s
        self.has_lanes = False  # SQS keeps no order anyway
        self._calls = calls
        self._url = url
        self._dead_url = dead_url
        self._visibility_s = max(1, math.ceil(visibility_s))
        self._most_bytes = most_bytes
        self._sends = Batcher(partial(calls.send, url), max_items=BATCH, max_calls=3, max_bytes=_BATCH_BYTES)
        self._changes = Batcher(partial(calls.change, url), max_items=BATCH, max_calls=3)
        self._deletes = Batcher(self._delete, max_items=BATCH, max_calls=3, linger_s=_LINGER_S)
        self._letters = SqsLetters(calls, dead_url)
        self._held: dict[str, float] = {}  # receipts, and the monotonic second in which they run out
        self._returning: set[asyncio.Task[None]] = set()

    async def send(self, body: bytes, *, sync: bool = False) -> None:  # noqa: ARG002 - see the class
        """See the port. TooLargeError when the queue takes no message of this size."""
        await self._add(message(body))

    async def receive(
        self,
        max_count: int,
        wait_s: float,
        *,
        async_count: int | None = None,  # noqa: ARG002 - see the class
    ) -> list[Delivery]:
        """See the port. At most ten come at once. Of two receives at a time the second waits for the first."""
        deadline = time.monotonic() + wait_s
        while True:
            found = await self._poll(min(max_count, BATCH), deadline - time.monotonic())
            if found or deadline - time.monotonic() < 1:
                return found

    async def extend(self, delivery: Delivery) -> None:
        """See the port. ReceiptLostError too when SQS keeps it no longer."""
        began = time.monotonic()
        await self._change(delivery, self._visibility_s)
        self._held[delivery.receipt] = began + self._visibility_s

    async def release(self, delivery: Delivery, delay_s: float) -> None:
        """See the port."""
        with suppress(HeldTooLongError):  # the delay would exceed the twelve hours: it returns by itself before
            await self._change(delivery, min(_LONGEST_HIDDEN_S, math.ceil(delay_s)))
        self._held.pop(delivery.receipt, None)

    async def set_aside(self, delivery: Delivery, delay_s: float) -> None:
        """See the port. A copy takes its place, since SQS neither forgets a receive nor how long it is held."""
        await self._prove(delivery)
        copy = message(delivery.body, earlier_receives=delivery.receives - 1 or "")
        await self._add(copy | {"DelaySeconds": min(_LONGEST_DELAY_S, math.ceil(delay_s))})
        await self.delete(delivery)

    async def delete(self, delivery: Delivery) -> None:
        """See the port."""
        self._held.pop(delivery.receipt, None)
        self._deletes.add({"ReceiptHandle": _handle(delivery)})

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port. The letter is a copy, for SQS moves nothing at our word. It carries the original's id."""
        await self._prove(delivery)
        original_id = delivery.receipt.partition(" ")[0]
        letter = message(delivery.body, reason=reason, receives=delivery.receives, original_id=original_id)
        await self._calls.run("send_message", QueueUrl=self._dead_url, **letter)
        await self.delete(delivery)

    async def depth(self) -> Depth:
        """See the port. Messages released with a delay count as in flight."""
        await self._deletes.flush()
        living, dead = await asyncio.gather(self._counts(self._url), self._counts(self._dead_url))
        return Depth(*living, sum(dead))

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See the port. Another looker may hide some for a moment."""
        return await self._letters.look(limit)

    async def redrive(self, letter_ids: Collection[str]) -> int:
        """See the port."""
        return await self._letters.take(letter_ids, lambda body: self._add(message(body)))

    async def purge(self, letter_ids: Collection[str]) -> int:
        """See the port."""
        return await self._letters.take(letter_ids)

    async def close(self) -> None:
        """Wait for the running poll, give its messages back, and finish the calls under way."""
        while self._returning:
            await asyncio.wait(self._returning)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                for batches in (self._sends, self._changes, self._deletes):
                    await batches.flush()

    def _add(self, entry: Entry) -> "asyncio.Future[None]":
        size_bytes = size_of(entry)
        if size_bytes > self._most_bytes:
            raise TooLargeError("the message for the queue", limit=self._most_bytes, actual=size_bytes)
        return self._sends.add(entry, size_bytes)

    async def _poll(self, max_count: int, wait_s: float) -> list[Delivery]:
        polling = asyncio.create_task(
            self._calls.poll(
                QueueUrl=self._url,
                MaxNumberOfMessages=max_count,
                WaitTimeSeconds=max(0, min(_LONGEST_POLL_S, int(wait_s))),
                VisibilityTimeout=self._visibility_s,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        )
        try:
            received = await asyncio.shield(polling)
        except TooManyHeldError:
            await asyncio.sleep(min(1.0, wait_s))
            return []
        except asyncio.CancelledError:
            task = asyncio.create_task(self._give_back(polling))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
            raise
        now = time.monotonic()
        self._held = {receipt: end for receipt, end in self._held.items() if end > now}
        deliveries = [_delivery(one) for one in received]
        self._held |= {delivery.receipt: now + self._visibility_s for delivery in deliveries}
        return deliveries

    async def _give_back(self, polling: "asyncio.Task[list[dict[str, Any]]]") -> None:
        """Give back the messages of a poll that no receiver waits for. The rest returns by itself."""
        with suppress(UnavailableError):
            receipts = [one["ReceiptHandle"] for one in await polling]
            returns = (self._changes.add({"ReceiptHandle": one, "VisibilityTimeout": 0}) for one in receipts)
            await asyncio.gather(*returns, return_exceptions=True)

    async def _change(self, delivery: Delivery, hidden_s: int) -> None:
        """Hide it anew. SQS at times takes a receipt that has run out, so we look at the clock too."""
        if self._held.get(delivery.receipt, 0.0) < time.monotonic():
            raise ReceiptLostError(delivery.receipt)
        await self._changes.add({"ReceiptHandle": _handle(delivery), "VisibilityTimeout": hidden_s})

    async def _prove(self, delivery: Delivery) -> None:
        """ReceiptLostError unless we have it, for long enough to put a copy elsewhere."""
        with suppress(HeldTooLongError):  # so it is still ours
            await self._change(delivery, self._visibility_s)

    async def _delete(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        left = list({entry["ReceiptHandle"]: entry for entry in entries}.values())  # the same one twice is refused
        for pause_s in _DELETE_AGAIN_S:
            try:
                outcomes = await self._calls.delete(self._url, left)
            except UnavailableError as error:
                outcomes = [error] * len(left)
            left = [entry for entry, end in zip(left, outcomes, strict=True) if isinstance(end, UnavailableError)]
            if not left:
                break
            await asyncio.sleep(pause_s)
        else:
            log.warning("not deleted; they are received once more", count=len(left))
        return [None] * len(entries)

    async def _counts(self, url: str) -> tuple[int, int, int]:
        answer = await self._calls.run("get_queue_attributes", QueueUrl=url, AttributeNames=_COUNTS)
        waiting, in_flight, delayed = (int(answer["Attributes"][name]) for name in _COUNTS)
        return waiting, in_flight, delayed


def _handle(delivery: Delivery) -> str:
    return delivery.receipt.partition(" ")[2]


def _delivery(received: dict[str, Any]) -> Delivery:
    earlier = attribute(received, "earlier-receives")
    return Delivery(
        body=body_of(received),
        receipt=f"{received['MessageId']} {received['ReceiptHandle']}",
        receives=int(received["Attributes"]["ApproximateReceiveCount"]) + (int(earlier) if earlier.isdecimal() else 0),
    )
