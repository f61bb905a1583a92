"""Holds the caller and the request id of the current request. Edges set them, the code below reads them."""

import secrets
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID_KEY = "x-nanogrid-request-id"
PRINCIPAL_KEY = "x-nanogrid-principal"
TOKEN_KEY = "x-nanogrid-token"  # noqa: S105 - the name of a metadata key, not a secret

LOCAL_PRINCIPAL = "local"  # owner of everything while authentication is off


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of the request being served.

    `principal` is None for the grid's own services acting for themselves, which see resources of every owner.
    `internal` means that the caller is part of the grid, or that authentication is off. `is_service` means that it sent
    the internal token, as services and operators do. Its input was checked where it entered the grid.
    """

    principal: str | None
    internal: bool
    request_id: str
    is_service: bool = False

    @property
    def owner(self) -> str:
        """Return the owner of everything that this caller creates."""
        return self.principal or LOCAL_PRINCIPAL

    def may_see(self, owner: str) -> bool:
        """Return whether resources of this owner exist for this caller."""
        return self.principal is None or self.principal == owner


def new_request_id() -> str:
    """Return 128 random bits in hex."""
    return secrets.token_hex(16)


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller() -> Caller:
    """Return the caller of the request being served, or the grid itself outside of requests."""
    return _caller.get() or Caller(principal=None, internal=True, request_id="")


def set_caller(value: Caller) -> None:
    """Set the caller for the current task and the tasks it starts."""
    _caller.set(value)
