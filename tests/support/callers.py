"""Speaking as somebody: sets the caller that rules see and that stubs pass on."""

from collections.abc import Iterator
from contextlib import contextmanager

from nanogrid import context
from nanogrid.context import Caller


@contextmanager
def calling(principal: str | None, *, internal: bool = False) -> Iterator[None]:
    """Within the block the caller is `principal`; None is the grid itself."""
    before = context.caller()
    context.set_caller(Caller(principal, internal=internal or principal is None, request_id="test"))
    try:
        yield
    finally:
        context.set_caller(before)
