"""Routes for the operators of a grid: API keys, and the messages that were given up. They take the internal token."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends
from gateway.rest import openapi_operators as openapi
from gateway.rest.answers import format_time
from gateway.rest.bodies import read_object
from gateway.rest.queries import page_of
from gateway.rest.routing import Router
from nanogrid.errors import InvalidFieldError
from nanogrid.rpc.auth import require_internal
from nanogrid.v1.invoker_pb2 import (
    DeadLetter,
    ListDeadLettersRequest,
    PurgeDeadLettersRequest,
    RedriveDeadLettersRequest,
)
from nanogrid.v1.registry_pb2 import CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest
from nanogrid.v1.resources_pb2 import ApiKey

router = Router()

_BODY_BYTES = 1024 * 1024  # some ten thousand ids
_MANY_S = 300.0  # every letter takes some calls of the queue and the job store


@router.post("/keys", status_code=201, openapi_extra=openapi.CREATE_KEY)
async def create_key(request: Request) -> Response:
    """Make an API key. It is in this answer only."""
    require_internal()
    body = await read_object(request, _BODY_BYTES)
    principal = body.get("principal")
    if not isinstance(principal, str):
        raise InvalidFieldError("principal", "is missing; send the name that will own what the key's holder makes")
    made = await backends.of(request).registry.CreateApiKey(
        CreateApiKeyRequest(principal=principal), timeout=backends.ANSWER_S
    )
    return _json(_key(made.key) | {"api_key": made.secret}, 201)


@router.get("/keys", openapi_extra=openapi.LIST_KEYS)
async def list_keys(request: Request) -> Response:
    """List API keys, newest first, revoked ones too."""
    require_internal()
    limit, cursor = page_of(request)
    page = await backends.of(request).registry.ListApiKeys(
        ListApiKeysRequest(page_size=limit, page_token=cursor), timeout=backends.ANSWER_S
    )
    return _json({"keys": [_key(one) for one in page.keys], "next_cursor": page.next_page_token or None})


@router.delete("/keys/{key_id}", openapi_extra=openapi.REVOKE_KEY)
async def revoke_key(request: Request, key_id: str) -> Response:
    """Revoke an API key. It may work for another 30 s."""
    require_internal()
    answer = await backends.of(request).registry.RevokeApiKey(
        RevokeApiKeyRequest(key_id=key_id), timeout=backends.ANSWER_S
    )
    return _json(_key(answer.key))


@router.get("/dead-letters", openapi_extra=openapi.LIST_LETTERS)
async def list_letters(request: Request) -> Response:
    """List messages that were given up, oldest first where the queue keeps an order."""
    require_internal()
    limit, _ = page_of(request)
    answer = await backends.of(request).invoker.ListDeadLetters(
        ListDeadLettersRequest(page_size=limit), timeout=backends.ANSWER_S
    )
    return _json({"letters": [_letter(one) for one in answer.letters], "total": answer.total})


@router.post("/dead-letters/redrive", openapi_extra=openapi.REDRIVE)
async def redrive(request: Request) -> Response:
    """Queue given-up messages again. Their jobs are pending again, with all tries ahead."""
    require_internal()
    letter_ids, everything = await _chosen(request)
    answer = await backends.of(request).invoker.RedriveDeadLetters(
        RedriveDeadLettersRequest(letter_ids=letter_ids, all=everything), timeout=_MANY_S
    )
    return _json({"redriven": answer.redriven})


@router.post("/dead-letters/purge", openapi_extra=openapi.PURGE)
async def purge(request: Request) -> Response:
    """Delete given-up messages for good. Their jobs stay failed."""
    require_internal()
    letter_ids, everything = await _chosen(request)
    answer = await backends.of(request).invoker.PurgeDeadLetters(
        PurgeDeadLettersRequest(letter_ids=letter_ids, all=everything), timeout=_MANY_S
    )
    return _json({"purged": answer.purged})


async def _chosen(request: Request) -> tuple[list[str], bool]:
    """Read which letters are meant: `letter_ids`, or `all`. InvalidFieldError."""
    body = await read_object(request, _BODY_BYTES)
    letter_ids, everything = body.get("letter_ids") or [], body.get("all") or False
    if not isinstance(letter_ids, list) or not all(isinstance(one, str) and one for one in letter_ids):
        raise InvalidFieldError("letter_ids", "is not a list of ids, as GET /dead-letters lists them")
    if not isinstance(everything, bool):
        raise InvalidFieldError("all", "is not true or false")
    return letter_ids, everything


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "created_at": format_time(key.created_at),
        "revoked_at": format_time(key.revoked_at) if key.HasField("revoked_at") else None,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "job_id": letter.job_id,
        "function_id": letter.function_id,
        "reason": letter.reason,
        "receives": letter.receives,
        "died_at": format_time(letter.died_at),
        "excerpt": letter.excerpt.decode(errors="replace"),
    }


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
