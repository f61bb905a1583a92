"""Round robin over arms, so that drift of the machine meets all of them alike, and the statistics of what they gave."""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.arms import Arm

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an arm's samples come to."""

    samples: int
    p50: float
    p90: float
    p99: float
    least: float
    most: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest sample that `percent` of 100 samples do not exceed (nearest rank: it was really measured)."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def summarise(values: Sequence[float]) -> Summary:
    """The percentiles and extremes of some samples, at least one."""
    p50, p90, p99 = (percentile(values, percent) for percent in PERCENTILES)
    return Summary(len(values), p50, p90, p99, min(values), max(values))


def interleave(
    arms: Sequence[Arm], rounds: int, *, warm_ups: int = 1, tell: Callable[[int], None] = lambda _: None
) -> dict[str, list[float]]:
    """Samples per arm of `rounds` rounds. Every round starts with another arm; warm-up rounds are thrown away."""
    values: dict[str, list[float]] = {arm.name: [] for arm in arms}
    with without_collections():
        for number in range(-warm_ups, rounds):
            tell(number)
            for arm in turned(arms, number):
                taken = arm.block()
                if number >= 0:
                    values[arm.name] += taken
    return values


def turned(arms: Sequence[Arm], by: int) -> list[Arm]:
    """The arms in order, beginning `by` places later."""
    first = by % len(arms)
    return [*arms[first:], *arms[:first]]


@contextmanager
def without_collections() -> Iterator[None]:
    """Python's collector would add its pauses to whoever is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
