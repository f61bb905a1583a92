"""The pool's decisions as pure functions.

Which sandbox serves, which is evicted, how many to keep ready, when to try again.
"""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

TRIES = 3  # runs of one job that may end in a fault of the platform
_FIRST_DELAY_S, _MOST_DELAY_S = 1.0, 60.0


class SlotView(Protocol):
    """The view of a slot that decisions have."""

    @property
    def is_resting(self) -> bool:
        """Return whether it could be taken or evicted."""

    @property
    def used_at(self) -> float:
        """Monotonic seconds of its last use."""


S = TypeVar("S", bound=SlotView)


def warmest(slots: Iterable[S]) -> S | None:
    """Return the slot to serve a call with: the last used, so that older ones age and go."""
    found: S | None = None
    for slot in slots:
        if slot.is_resting and (found is None or slot.used_at > found.used_at):
            found = slot
    return found


def may_grow(serving: int, max_concurrency: int) -> bool:
    """Return whether a function with so many sandboxes may have another. 0 = no limit of its own."""
    return max_concurrency == 0 or serving < max_concurrency


def victim(slots: Collection[S], sparing: Collection[S] = ()) -> S | None:
    """Choose the slot to evict for a newcomer: the longest unused resting one, rather not one of `sparing`."""
    resting = [slot for slot in slots if slot.is_resting]
    return min(resting, key=lambda slot: (slot in sparing, slot.used_at), default=None)


def ready_target(least: int, most: int, recent_takes: int) -> int:
    """Tell how many generic sandboxes of a runtime to keep ready: as many as were taken lately, within its bounds."""
    return max(least, min(most, recent_takes))


def retry_delay_s(attempt: int) -> float:
    """Return how long to leave a message alone after its `attempt`-th try failed: 1, 2, 4 … s, at most a minute."""
    return float(min(_MOST_DELAY_S, _FIRST_DELAY_S * 2 ** (attempt - 1)))


def async_room(places: int, running: int, *, sync_active: bool) -> int:
    """Return the number of async jobs that may be begun while `running` of them run.

    A quarter of the places is kept for sync calls. While such calls keep coming, async jobs go on one at a time, so
    that a long queue costs waiting callers next to nothing.
    """
    most = 1 if sync_active else places - places // 4
    return max(0, most - running)
