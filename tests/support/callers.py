"""Sets the caller that rules see and that stubs pass on."""

from collections.abc import Iterator
from contextlib import contextmanager

from nanogrid import caller
from nanogrid.caller import Caller


@contextmanager
def calling(principal: str | None, *, internal: bool = False) -> Iterator[None]:
    """Set the caller to `principal` inside the block. None is the grid itself."""
    before = caller.caller()
    caller.set_caller(Caller(principal, internal=internal or principal is None, request_id="test"))
    try:
        yield
    finally:
        caller.set_caller(before)
