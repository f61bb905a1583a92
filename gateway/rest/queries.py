"""Reads query parameters that several routes accept."""

from starlette.requests import Request

from nanogrid import paging
from nanogrid.errors import InvalidFieldError


def page_of(request: Request) -> tuple[int, str]:
    """Return `limit` (0 = unset) and `cursor`. InvalidFieldError for a limit that is no number from 1 to 100."""
    limit = request.query_params.get("limit", "")
    if limit and not (
        limit.isascii()
        and limit.isdecimal()
        and len(limit) <= len(str(paging.MAX_SIZE))
        and 1 <= int(limit) <= paging.MAX_SIZE
    ):
        raise InvalidFieldError("limit", f"{limit[:32]!r} is not a number from 1 to {paging.MAX_SIZE}")
    return int(limit or 0), request.query_params.get("cursor", "")
