"""RPCs for the grid's operator. Loaded by the commands that need them, because gRPC is slow to import."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid.cli.exits import CliError, Exit, of_status
from nanogrid.errors import NanoGridError
from nanogrid.local.grid import read_grid, read_token
from nanogrid.rpc.client import open_stub
from nanogrid.settings import GridSettings
from nanogrid.v1.invoker_pb2 import (
    DeadLetter,
    ListDeadLettersRequest,
    ListExecutorsRequest,
    PurgeDeadLettersRequest,
    RedriveDeadLettersRequest,
)
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceStub
from nanogrid.v1.registry_pb2 import CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from nanogrid.v1.resources_pb2 import ApiKey

Answer = TypeVar("Answer")

_REGISTRY, _INVOKER = "registry", "invoker"
_STUBS: dict[str, Callable[[Any], Any]] = {_REGISTRY: RegistryServiceStub, _INVOKER: InvokerServiceStub}

_ANSWER_S = 10.0
_MANY_S = 600.0  # every letter takes some calls of the queue and the job store


def create_key(data_dir: Path, principal: str) -> dict[str, Any]:
    """Make a key. `api_key` in the answer is the whole of it, shown only this once."""
    request = CreateApiKeyRequest(principal=principal)
    answer = _ask_service(_REGISTRY, data_dir, lambda registry: registry.CreateApiKey(request, timeout=_ANSWER_S))
    return {**_shown(answer.key), "api_key": answer.secret}


def list_keys(data_dir: Path) -> list[dict[str, Any]]:
    """Return every key, newest first."""
    return [_shown(key) for key in _ask_service(_REGISTRY, data_dir, _all_keys)]


def revoke_key(data_dir: Path, key_id: str) -> dict[str, Any]:
    """Revoke a key."""
    request = RevokeApiKeyRequest(key_id=key_id)
    answer = _ask_service(_REGISTRY, data_dir, lambda registry: registry.RevokeApiKey(request, timeout=_ANSWER_S))
    return _shown(answer.key)


def list_letters(data_dir: Path, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return up to `limit` (at most 100) dead letters, oldest first, and how many there are."""
    request = ListDeadLettersRequest(page_size=limit)
    answer = _ask_service(_INVOKER, data_dir, lambda invoker: invoker.ListDeadLetters(request, timeout=_ANSWER_S))
    return [_letter(one) for one in answer.letters], answer.total


def redrive_letters(data_dir: Path, letter_ids: Sequence[str]) -> int:
    """Queue these dead letters again, or all of them where none is named. How many were there."""
    request = RedriveDeadLettersRequest(letter_ids=letter_ids, all=not letter_ids)
    answer = _ask_service(_INVOKER, data_dir, lambda invoker: invoker.RedriveDeadLetters(request, timeout=_MANY_S))
    return int(answer.redriven)


def purge_letters(data_dir: Path, letter_ids: Sequence[str]) -> int:
    """Delete these dead letters, or all of them where none is named. How many were there."""
    request = PurgeDeadLettersRequest(letter_ids=letter_ids, all=not letter_ids)
    answer = _ask_service(_INVOKER, data_dir, lambda invoker: invoker.PurgeDeadLetters(request, timeout=_MANY_S))
    return int(answer.purged)


def runtimes(address: str, token: str) -> set[str] | None:
    """Return the runtimes that live executors offer, or None while no executor or invoker answers."""
    try:
        answer = _ask(
            InvokerServiceStub,
            address,
            token,
            lambda invoker: invoker.ListExecutors(ListExecutorsRequest(), timeout=_ANSWER_S),
        )
    except NanoGridError:
        return None
    return {name for one in answer.executors for name in one.runtimes} if answer.executors else None


def where(service: str, data_dir: Path) -> tuple[str, str]:
    """Address of a service and the internal token: from the environment, else of the grid that `up` started here."""
    settings = GridSettings()
    grid = read_grid(data_dir)
    name = f"{service}_address"
    local = grid and grid.running and name not in settings.model_fields_set
    return getattr(grid if local else settings, name), settings.internal_token or read_token(data_dir)


async def _all_keys(registry: Any) -> list[ApiKey]:
    found: list[ApiKey] = []
    token = ""
    while True:
        page = await registry.ListApiKeys(ListApiKeysRequest(page_size=100, page_token=token), timeout=_ANSWER_S)
        found += page.keys
        token = page.next_page_token
        if not token:
            return found


def _ask_service(service: str, data_dir: Path, question: Callable[[Any], Awaitable[Answer]]) -> Answer:
    address, token = where(service, data_dir)
    try:
        return _ask(_STUBS[service], address, token, question)
    except NanoGridError as failure:
        code = of_status(failure.http_status)
        cure = "; set NANOGRID_INTERNAL_TOKEN, or --data-dir to the grid's data folder" if code is Exit.AUTH else ""
        raise CliError(f"{failure.message}{cure}", code) from None


def _ask(stub: Callable[[Any], Any], address: str, token: str, question: Callable[[Any], Awaitable[Answer]]) -> Answer:
    async def ask() -> Answer:
        async with open_stub(stub, address, token=token) as service:
            return await question(service)

    return asyncio.run(ask())


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "created_at": _time(key.created_at),
        "revoked_at": _time(key.revoked_at) if key.HasField("revoked_at") else None,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "job_id": letter.job_id,
        "function_id": letter.function_id,
        "reason": letter.reason,
        "receives": letter.receives,
        "died_at": _time(letter.died_at),
        "excerpt": letter.excerpt.decode(errors="replace"),
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
