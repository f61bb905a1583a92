"""An arm is one contestant: its name, and how to take a block of its samples."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EVENT = {"name": "NanoGrid", "n": 1}  # what every arm is given and must give back

Block = Callable[[], list[float]]


@dataclass(frozen=True, slots=True)
class Arm:
    """`block` takes some samples at a time, so that a warm arm is not always measured right behind a cold one."""

    name: str
    block: Block


def timed(
    call: Callable[[Any], Any],
    *,
    calls: int = 1,
    prepare: Callable[[], Any] = lambda: None,
    check: Callable[[Any], None] = lambda _: None,
    settle_s: float = 0.0,
) -> Block:
    """A block of `calls` timings in ms of `call(prepare())`; preparing, checking and settling are not timed."""

    def block() -> list[float]:
        time.sleep(settle_s)
        values = []
        for _ in range(calls):
            prepared = prepare()
            begin = time.perf_counter_ns()
            answer = call(prepared)
            values.append((time.perf_counter_ns() - begin) / 1e6)
            check(answer)
        return values

    return block
