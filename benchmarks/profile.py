"""Where the processors' time goes under load: which process of the grid costs how much per call."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.grid import Grid
from benchmarks.load import Load

GENERATOR = "load generator"


@dataclass(slots=True)
class Profile:
    """Sums over several loads."""

    seconds: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    def measured(self, grid: Grid, load: Callable[[], Load]) -> float:
        """Run a load and add what it cost; returns its calls per second."""
        before, own = grid.cpu_s(), time.process_time()
        done = load()
        own, after = time.process_time() - own, grid.cpu_s()
        self.seconds.update({name: used - before.get(name, 0.0) for name, used in after.items()})
        self.seconds[GENERATOR] += own
        self.calls += len(done.latencies_ms)
        return done.per_second

    def ms_per_call(self) -> dict[str, float]:
        """Processor milliseconds per call by process, most first; what is next to nothing is left out."""
        each = {name: round(used * 1000 / self.calls, 4) for name, used in self.seconds.items() if self.calls}
        return {name: ms for name, ms in sorted(each.items(), key=lambda one: -one[1]) if ms >= 0.001}
