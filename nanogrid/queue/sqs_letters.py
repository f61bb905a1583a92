"""The dead-letter queue of an SQS queue: looked at by receiving and giving back, since SQS has no other way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any

from nanogrid.batching import Batcher
from nanogrid.errors import NanoGridError
from nanogrid.queue import DeadLetter, ReceiptLostError
from nanogrid.queue.sqs_calls import SqsCalls
from nanogrid.queue.sqs_wire import BATCH, attribute, body_of

__all__ = ["SqsLetters"]

_SYSTEM_ATTRIBUTES = ["ApproximateReceiveCount", "SentTimestamp"]
_HIDDEN_S = 120  # how long letters stay hidden if whoever looks at them dies
_SEARCH_S = 60.0  # longest search: well before the first letters come round again
_STALE = 3  # receives in a row that bring known letters only: the search has come round
_WAIT_S = 1  # a receive that waits asks all of SQS's servers, and outlasts another looker's moment

Received = dict[str, Any]
Found = dict[str, list[Received]]  # by id; SQS may hand out several copies of one letter
Move = Callable[[bytes], Awaitable[None]]


class SqsLetters:
    """Looks, moves and deletes one at a time: two lookers hide the letters from each other for a moment."""

    def __init__(self, calls: SqsCalls, url: str) -> None:
        self._calls = calls
        self._url = url
        self._returns = Batcher(partial(calls.change, url), max_items=BATCH, max_calls=2)
        self._deletes = Batcher(partial(calls.delete, url), max_items=BATCH, max_calls=2)
        self._alone = asyncio.Lock()

    async def look(self, limit: int) -> list[DeadLetter]:
        """Return up to `limit` letters. They stay."""
        async with self._alone:
            found: Found = {}
            try:
                await self._collect(found, lambda: len(found) >= limit)
            finally:
                await self._give_back(found.values())
        letters = [_letter(copies[0]) for copies in found.values()]
        return sorted(letters, key=lambda letter: letter.died_at_ms)[:limit]

    async def take(self, letter_ids: Collection[str], move: Move | None = None) -> int:
        """Delete these letters, after `move` has put them elsewhere. How many were there.

        An error means that some are left.
        """
        wanted = set(letter_ids)
        if not wanted:
            return 0
        async with self._alone:
            found: Found = {}
            try:
                await self._collect(found, lambda: wanted <= found.keys())
                mine = [found[letter_id] for letter_id in wanted & found.keys()]
                ends = await asyncio.gather(*(self._take(copies, move) for copies in mine), return_exceptions=True)
            finally:
                await self._give_back(copies for letter_id, copies in found.items() if letter_id not in wanted)
        for end in ends:
            if end is not None:
                raise end
        return len(mine)

    async def _collect(self, found: Found, enough: Callable[[], bool]) -> None:
        """Receive into `found` until it is enough or there is nothing new."""
        deadline = time.monotonic() + _SEARCH_S
        stale = 0
        while stale < _STALE and not enough() and time.monotonic() < deadline:
            answer = await self._calls.run(
                "receive_message",
                QueueUrl=self._url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=_WAIT_S,
                VisibilityTimeout=_HIDDEN_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=_SYSTEM_ATTRIBUTES,
            )
            received = answer.get("Messages", ())
            if not received:
                return
            stale = stale + 1 if all(one["MessageId"] in found for one in received) else 0
            for one in received:
                found.setdefault(one["MessageId"], []).append(one)

    async def _take(self, copies: list[Received], move: Move | None) -> None:
        try:
            if move is not None:
                await move(body_of(copies[0]))
            await self._delete(copies)
        except NanoGridError:
            await self._give_back([copies])
            raise

    async def _delete(self, copies: list[Received]) -> None:
        deletes = (self._deletes.add({"ReceiptHandle": one["ReceiptHandle"]}) for one in copies)
        for end in await asyncio.gather(*deletes, return_exceptions=True):
            if end is not None and not isinstance(end, ReceiptLostError):  # that one was gone
                raise end

    async def _give_back(self, letters: Iterable[list[Received]]) -> None:
        """Make them visible again. One that cannot be returns by itself later."""
        receipts = [one["ReceiptHandle"] for copies in letters for one in copies]
        returns = (self._returns.add({"ReceiptHandle": one, "VisibilityTimeout": 0}) for one in receipts)
        await asyncio.gather(*returns, return_exceptions=True)


def _letter(received: Received) -> DeadLetter:
    system = received["Attributes"]
    own_count = attribute(received, "receives")
    return DeadLetter(
        letter_id=received["MessageId"],
        body=body_of(received),
        reason=attribute(received, "reason"),
        # Of what SQS moved by itself it goes on counting: this look is not a try.
        receives=int(own_count) if own_count.isdecimal() else int(system["ApproximateReceiveCount"]) - 1,
        died_at_ms=int(system["SentTimestamp"]),
    )
