"""The experiments: each names what it shows, and runs at a scale and a seed."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.audit import Verdict


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an experiment. `scale` 1 is what is promised; `seed` decides who is hit and when."""

    folder: Path
    scale: float
    seed: int
    sabotage: str = ""

    def count(self, full: int, least: int = 1) -> int:
        """A number of the full run, scaled."""
        return max(least, round(full * self.scale))

    def every_s(self, full: float) -> float:
        """An interval of the full run; the smallest runs are in more of a hurry."""
        return full if self.scale >= 0.02 else min(full, 3.0)


@dataclass(frozen=True, slots=True)
class Experiment:
    name: str
    shows: str
    play: Callable[[Run], Coroutine[Any, Any, Verdict]]
