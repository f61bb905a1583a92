"""Checks that a zip is refused, and returns the reason."""

import io

import pytest

from nanogrid.bundle import BundleLimits, inspect
from nanogrid.errors import ArchiveRejectedError

LIMITS = BundleLimits()


def refusal(data: bytes, limits: BundleLimits = LIMITS) -> str:
    with pytest.raises(ArchiveRejectedError) as caught:
        inspect(io.BytesIO(data), limits)
    assert caught.value.metadata == {"field": "file"}
    return caught.value.message
