"""The adversity that a standard queue of SQS is allowed to show and never shows on a quiet day: seeded, repeatable."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

_SPAN = 2.0**64  # of the hash that decides


@dataclass(slots=True)
class Mischief:
    """How often each misfortune strikes, 0.0 to 1.0. All zero: tame.

    What happens to a message depends on the seed and on how many were sent before it, never on time or on who asks.
    """

    seed: int = 0
    duplicates: float = 0.0  # of messages sent: a second copy under the same id
    reorder: float = 0.0  # of messages sent: up to a thousand places early or late
    early_redelivery: float = 0.0  # of messages received: visible again before their timeout
    lost_deletes: float = 0.0  # of deletions: answered with success, and the message returns
    stale_receipts: float = 0.0  # of changes and deletions: an outdated receipt is taken for the newest
    scarce: float = 0.0  # of receives: brings one where there are more, none when it was not to wait
    batch_faults: float = 0.0  # of a batch's entries: fail alone
    throttle: float = 0.0  # of requests: refused as too many
    errors: float = 0.0  # of requests: 500 or 503, nothing done
    cut: float = 0.0  # of requests: done, and the connection closed instead of answered
    struck: Counter[str] = field(default_factory=Counter)  # how often each did

    def strikes(self, kind: str, *key: object) -> bool:
        """Whether `kind` (a field's name) happens to what `key` tells apart; always the same for the same seed."""
        chance: float = getattr(self, kind)
        if chance <= 0 or self.fraction(kind, *key) >= chance:
            return False
        self.struck[kind] += 1
        return True

    def fraction(self, *key: object) -> float:
        """A number in [0, 1) that belongs to the key."""
        digest = blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _SPAN
