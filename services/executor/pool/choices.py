"""Pure functions that decide for the pool: sandbox to use, sandboxes to evict, number to keep ready, retry delay."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

TRIES = 3  # runs of one job that may fail because of the platform
_FIRST_DELAY_S, _MOST_DELAY_S = 1.0, 60.0


class SlotView(Protocol):
    """The part of a slot that decisions read."""

    @property
    def is_resting(self) -> bool:
        """Return whether the slot may be taken or evicted."""

    @property
    def used_at(self) -> float:
        """Return the monotonic seconds of the last use."""


S = TypeVar("S", bound=SlotView)


def warmest(slots: Iterable[S]) -> S | None:
    """Return the most recently used resting slot, so that older ones expire."""
    found: S | None = None
    for slot in slots:
        if slot.is_resting and (found is None or slot.used_at > found.used_at):
            found = slot
    return found


def victim(slots: Iterable[S], sparing: Collection[S] = ()) -> S | None:
    """Return the resting slot to evict: the least recently used one, preferably not in `sparing`."""
    return next(iter(victims(slots, 1, sparing)), None)


def victims(slots: Iterable[S], count: int, sparing: Collection[S] = ()) -> list[S]:
    """Return up to `count` resting slots to evict: the least recently used first, those in `sparing` last."""
    resting = [slot for slot in slots if slot.is_resting]
    return sorted(resting, key=lambda slot: (slot in sparing, slot.used_at))[:count]


def ready_target(least: int, most: int, recent_takes: int) -> int:
    """Return how many generic sandboxes of a runtime to keep ready: the number taken recently, within bounds."""
    return max(least, min(most, recent_takes))


def retry_delay_s(attempt: int) -> float:
    """Return the delay in seconds after the failed try number `attempt`: 1, 2, 4 …, at most 60."""
    return float(min(_MOST_DELAY_S, _FIRST_DELAY_S * 2 ** (attempt - 1)))


def async_room(places: int, running: int, *, sync_active: bool) -> int:
    """Return the number of async jobs that may be begun while `running` of them run.

    A quarter of the places is reserved for sync jobs. While sync jobs keep arriving, async jobs run one at a time, so
    that a long queue hardly delays waiting callers.
    """
    most = 1 if sync_active else places - places // 4
    return max(0, most - running)
