"""Holds one queue's messages: waiting, held by a receiver, or delayed. Operations take logarithmic time at most."""

import asyncio
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.sqs import faults
from support.sqs.mischief import Mischief

_STRAY = 2000.0  # range of places for a reordered message
_COPY_S = 2.0  # a duplicate appears within this
_VOID_SHARE = 2  # a heap is rebuilt once void entries outnumber valid ones


@dataclass(slots=True, eq=False)
class Message:
    """A message. `turn` changes whenever it moves, which voids heap entries of earlier turns."""

    number: int
    message_id: str
    body: str
    attributes: dict[str, Any]
    sent_s: float  # since 1970
    state: str = ""  # waiting, held, delayed, or "" once gone
    turn: int = 0
    receives: int = 0
    first_s: float = 0.0  # since 1970
    held_since: float = 0.0
    nonce: str = ""

    @property
    def receipt(self) -> str:
        """Return the receipt of the newest receive."""
        return f"{self.number}/{self.receives}/{self.nonce}"


@dataclass(slots=True)
class Shelf:
    """A queue. `hold_s` is the longest time for one receive, extensions included."""

    name: str
    mischief: Mischief
    hold_s: float = 43200.0
    most_in_flight: int = 120_000
    clock: Callable[[], float] = time.monotonic
    attributes: dict[str, str] = field(default_factory=dict)
    dead: "Shelf | None" = None
    most_receives: int = 0  # before the message is moved to `dead`
    counts: Counter[str] = field(default_factory=Counter)  # messages by state
    _messages: dict[int, Message] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _places: "itertools.count[float]" = field(default_factory=lambda: itertools.count(1.0))
    _takes: int = 0
    _waiting: list[tuple[float, int, int, Message]] = field(default_factory=list)  # by place
    _timed: list[tuple[float, int, int, Message]] = field(default_factory=list)  # by the time they become visible
    _polls: "deque[asyncio.Future[None]]" = field(default_factory=deque)
    _alarm: asyncio.TimerHandle | None = None

    def put(self, message_id: str, body: str, attributes: dict[str, Any], delay_s: float) -> None:
        """Add a message, or two with a duplicate."""
        message = Message(next(self._numbers), message_id, body, attributes, time.time())
        self._add(message, delay_s)
        if self.mischief.strikes("duplicates", self.name, message.number):
            copy = Message(next(self._numbers), message_id, body, attributes, message.sent_s)
            self._add(copy, delay_s + _COPY_S * self.mischief.fraction("copy", self.name, copy.number))

    def adopt(self, message: Message) -> None:
        """Take over a message of another queue, with its id, age and receive count."""
        message.number = next(self._numbers)
        self._add(message, 0)

    def _add(self, message: Message, delay_s: float) -> None:
        self._messages[message.number] = message
        if delay_s > 0:
            self._hide(message, "delayed", delay_s)
        else:
            self._show(message)

    def take(self, count: int, visibility_s: float, *, waits: bool) -> list[Message]:
        """Hand out up to `count` visible messages."""
        self.ripen()
        if self.counts["held"] >= self.most_in_flight:
            raise faults.over_limit(self.most_in_flight)
        self._takes += 1
        if self._waiting and self.mischief.strikes("scarce", self.name, self._takes):
            count = 1 if waits else 0
        taken: list[Message] = []
        while len(taken) < count and (message := self._next()) is not None:
            if self.dead is not None and message.receives >= self.most_receives:
                self._forget(message)
                self.dead.adopt(message)
                continue
            self._hand_out(message, visibility_s)
            taken.append(message)
        return taken

    def _next(self) -> Message | None:
        while self._waiting:
            _, _, turn, message = heapq.heappop(self._waiting)
            if message.turn == turn:
                return message
        return None

    def _hand_out(self, message: Message, visibility_s: float) -> None:
        message.receives += 1
        message.first_s = message.first_s or time.time()
        message.held_since = self.clock()
        key = (self.name, message.number, message.receives)
        message.nonce = f"{self.mischief.fraction('nonce', *key):.12f}"
        if visibility_s > 0 and self.mischief.strikes("early_redelivery", *key):
            visibility_s *= self.mischief.fraction("early", *key)
        self._hide(message, "held", visibility_s)

    def change(self, receipt: str, visibility_s: float) -> None:
        """Restart the time for which the message is hidden."""
        self.ripen()
        message = self._found(receipt)
        if message is None:
            raise faults.outdated(receipt)
        if message.state != "held":
            raise faults.not_in_flight()
        if self.clock() + visibility_s - message.held_since > self.hold_s:
            raise faults.held_too_long(visibility_s, self.hold_s)
        if visibility_s > 0:
            self._hide(message, "held", visibility_s)
        else:
            self._show(message)

    def delete(self, receipt: str) -> None:
        """Delete a message. No error when it is gone or was received again."""
        self.ripen()
        message = self._found(receipt)
        if message is not None and not self.mischief.strikes("lost_deletes", self.name, receipt):
            self._forget(message)

    def clear(self) -> None:
        """Delete all messages."""
        for message in list(self._messages.values()):
            self._forget(message)

    def _found(self, receipt: str) -> Message | None:
        """Return the message with this newest receipt."""
        number, _, rest = receipt.partition("/")
        if not number.isdigit() or rest.count("/") != 1:
            raise faults.no_receipt(receipt)
        message = self._messages.get(int(number))
        if message is None or message.receipt == receipt:
            return message
        return message if self.mischief.strikes("stale_receipts", self.name, receipt) else None

    def _show(self, message: Message) -> None:
        place = next(self._places)  # behind all waiting messages
        if self.mischief.strikes("reorder", self.name, message.number, message.turn):
            place += _STRAY * (self.mischief.fraction("place", self.name, message.number, message.turn) - 0.5)
        self._move(message, "waiting")
        heapq.heappush(self._waiting, (place, message.number, message.turn, message))
        self._tidy(self._waiting, self.counts["waiting"])
        self._wake()

    def _hide(self, message: Message, state: str, for_s: float) -> None:
        self._move(message, state)
        heapq.heappush(self._timed, (self.clock() + for_s, message.number, message.turn, message))
        self._tidy(self._timed, self.counts["held"] + self.counts["delayed"])
        self._arm()

    def _forget(self, message: Message) -> None:
        del self._messages[message.number]
        self._move(message, "")

    def _move(self, message: Message, state: str) -> None:
        if message.state:
            self.counts[message.state] -= 1
        if state:
            self.counts[state] += 1
        message.state = state
        message.turn += 1

    def _tidy(self, heap: list[tuple[float, int, int, Message]], valid: int) -> None:
        if len(heap) > 1000 + _VOID_SHARE * valid:  # amortised over the thousand pushes before
            heap[:] = [entry for entry in heap if entry[2] == entry[3].turn]
            heapq.heapify(heap)

    def ripen(self) -> None:
        """Make messages visible at the end of their hidden time."""
        now = self.clock()
        while self._timed and self._timed[0][0] <= now:
            _, _, turn, message = heapq.heappop(self._timed)
            if message.turn == turn:
                self._show(message)

    async def changed(self, within_s: float) -> None:
        """Return once a message becomes visible, or after `within_s`, perhaps sooner."""
        loop = asyncio.get_running_loop()
        poll = loop.create_future()
        timer = loop.call_later(within_s, _end, poll)
        self._polls.append(poll)
        self._arm()
        try:
            await poll
        except asyncio.CancelledError:
            if poll.done() and not poll.cancelled():
                self._wake()  # this poll was woken but has gone, so wake the next one
            raise
        finally:
            timer.cancel()
            if poll in self._polls:
                self._polls.remove(poll)

    def _wake(self) -> None:
        while self._polls:
            poll = self._polls.popleft()
            if not poll.done():
                poll.set_result(None)
                return

    def _arm(self) -> None:
        """Set a timer for the next hidden message, if a poll waits."""
        if not self._polls or not self._timed:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, self._timed[0][0] - self.clock()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.ripen()
        self._arm()


def _end(poll: "asyncio.Future[None]") -> None:
    if not poll.done():
        poll.set_result(None)
