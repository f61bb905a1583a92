"""Injects the faults that a standard SQS queue may show but rarely does, repeatable by seed."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

_SPAN = 2.0**64  # of the hash that decides


@dataclass(slots=True)
class Mischief:
    """Chances of each fault, 0.0 to 1.0, all zero by default.

    The faults of a message depend on the seed and on the number of messages before it, never on time or client.
    """

    seed: int = 0
    duplicates: float = 0.0  # of messages sent: a second copy under the same id
    reorder: float = 0.0  # of messages sent: up to a thousand places early or late
    early_redelivery: float = 0.0  # of messages received: visible again before their visibility ends
    lost_deletes: float = 0.0  # of deletions: answered with success, and the message returns
    stale_receipts: float = 0.0  # of changes and deletions: an outdated receipt counts as the newest
    scarce: float = 0.0  # of receives: returns one message of several, and none without a wait
    batch_faults: float = 0.0  # of a batch's entries: one fails
    throttle: float = 0.0  # of requests: refused for their rate
    errors: float = 0.0  # of requests: 500 or 503, nothing done
    cut: float = 0.0  # of requests: done, but the connection is closed without an answer
    struck: Counter[str] = field(default_factory=Counter)  # faults so far

    def strikes(self, kind: str, *key: object) -> bool:
        """Return whether the fault `kind` (a field's name) strikes for this key. The same for the same seed."""
        chance: float = getattr(self, kind)
        if chance <= 0 or self.fraction(kind, *key) >= chance:
            return False
        self.struck[kind] += 1
        return True

    def fraction(self, *key: object) -> float:
        """Return a number in [0, 1) derived from seed and key."""
        digest = blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _SPAN
