"""Records the injected faults and their times. The audit excuses nothing else."""

import time
from dataclasses import dataclass, field, replace

EVERYBODY = "*"  # the target of a fault that may hit any owner, such as a flushed job store


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a `kind` (killed, stopped, flushed …) on `target`, a process's name. Times are of `time.time()`.

    `until` is the time when a stopped process resumed, 0.0 if it did not or the fault has no length.
    """

    kind: str
    target: str
    at: float
    until: float = 0.0


@dataclass(slots=True)
class Journal:
    """Faults in the order they happened."""

    faults: list[Fault] = field(default_factory=list)

    def note(self, kind: str, target: str) -> None:
        self.faults.append(Fault(kind, target, time.time()))

    def healed(self, kind: str, target: str) -> None:
        """Record that the latest fault of this kind and target is over."""
        at = max(n for n, fault in enumerate(self.faults) if (fault.kind, fault.target) == (kind, target))
        self.faults[at] = replace(self.faults[at], until=time.time())
