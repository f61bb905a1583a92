"""The operators' part of the REST API: keys and dead letters, for holders of the grid's internal token."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nanogrid.cli.client import Client, open_client
from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.session import Session
from nanogrid.local.grid import read_token

_PAGE = 100


class Operator:
    """One NanoGrid, asked by its operator."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create_key(self, principal: str) -> dict[str, Any]:
        """Make a key. `api_key` in the answer is the whole of it, shown only this once."""
        return self._client.ask("POST", "/keys", json={"principal": principal})

    def keys(self) -> Iterator[dict[str, Any]]:
        """Return every key, newest first, read a page at a time."""
        cursor = ""
        while True:
            query = {"limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            page = self._client.ask("GET", "/keys", params=query)
            yield from page.get("keys", [])
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """Revoke a key."""
        return self._client.ask("DELETE", f"/keys/{key_id}")

    def letters(self, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Return up to `limit` (at most 100) dead letters, oldest first, and how many there are."""
        answer = self._client.ask("GET", "/dead-letters", params={"limit": str(limit)})
        return answer.get("letters", []), int(answer.get("total", 0))

    def redrive(self, letter_ids: Sequence[str]) -> int:
        """Queue these dead letters again, or all of them where none is named. Return how many were there."""
        return int(self._client.ask("POST", "/dead-letters/redrive", json=_choice(letter_ids))["redriven"])

    def purge(self, letter_ids: Sequence[str]) -> int:
        """Delete these dead letters, or all of them where none is named. Return how many were there."""
        return int(self._client.ask("POST", "/dead-letters/purge", json=_choice(letter_ids))["purged"])


@contextmanager
def open_operator(here: Session) -> Iterator[Operator]:
    """Connect lazily to the grid that the command line names, as its operator. CliError names the cure of a refusal."""
    try:
        with open_client(here.api, identity(here)) as client:
            yield Operator(client)
    except CliError as failure:
        if failure.exit_code is not Exit.AUTH:
            raise
        cure = "set NANOGRID_INTERNAL_TOKEN, or --data-dir to the grid's data folder, and leave --api-key out"
        raise CliError(f"{failure}; {cure}", Exit.AUTH) from None


def identity(here: Session) -> str:
    """Return what proves that the caller is an operator: what it said, else the token of the local grid for that grid.

    The token of a data folder is shown to no other grid.
    """
    if said := here.api_key or os.environ.get("NANOGRID_INTERNAL_TOKEN", ""):
        return said
    return read_token(here.data_dir) if here.is_local else ""


def _choice(letter_ids: Sequence[str]) -> dict[str, Any]:
    return {"letter_ids": list(letter_ids)} if letter_ids else {"all": True}
