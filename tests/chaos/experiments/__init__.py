"""The chaos experiments, each with a claim to show, run at a scale and with a seed."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.audit import Verdict


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an experiment. `scale` 1 is the promised size. `seed` decides targets and times."""

    folder: Path
    scale: float
    seed: int
    sabotage: str = ""

    def count(self, full: int, least: int = 1) -> int:
        """Scale a number of the full run."""
        return max(least, round(full * self.scale))

    def every_s(self, full: float) -> float:
        """Return an interval of the full run, shortened for the smallest runs."""
        return full if self.scale >= 0.02 else min(full, 3.0)


@dataclass(frozen=True, slots=True)
class Experiment:
    name: str
    shows: str
    play: Callable[[Run], Coroutine[Any, Any, Verdict]]
