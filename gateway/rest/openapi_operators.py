"""The operators' part of the REST contract in words."""

from typing import Any

from gateway.rest.openapi import PAGE, answers, example

_WHEN = "2026-11-21T02:33:46.120000Z"
_KEY = {"key_id": "0f3a5c7e9b1d", "principal": "alice", "created_at": _WHEN, "revoked_at": None}
_LETTER = {
    "letter_id": "1795228426120-0",
    "job_id": "job-2f1e6a3c-6e0b-4c5e-9d59-0c4f5ad3a1b7",
    "function_id": "2f1e6a3c-6e0b-4c5e-9d59-0c4f5ad3a1b7",
    "reason": "there is no code at functions/…/code.zip",
    "receives": 3,
    "died_at": _WHEN,
    "excerpt": '{"job_id":"job-2f1e…',
}
_REFUSALS = (400, 403, 503)


def _good(meaning: str, body: Any) -> dict[int, dict[str, Any]]:
    return {200: {"description": meaning, "content": example(body)}}


def _body(properties: dict[str, Any], shown: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": example(shown, schema)}}


_CHOICE = _body(
    {
        "letter_ids": {"type": "array", "items": {"type": "string"}, "description": "Their ids."},
        "all": {"type": "boolean", "description": "Every one that lies there now, instead of ids."},
    },
    {"letter_ids": ["1795228426120-0"]},
)

CREATE_KEY = {
    **_body({"principal": {"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"}}, {"principal": "alice"}),
    **answers(
        {201: {"description": "The key, shown only here.", "content": example({**_KEY, "api_key": "ng_0f3a…"})}},
        _REFUSALS,
    ),
}
LIST_KEYS = {"parameters": PAGE, **answers(_good("A page.", {"keys": [_KEY], "next_cursor": None}), _REFUSALS)}
REVOKE_KEY = answers(_good("The revoked key.", {**_KEY, "revoked_at": _WHEN}), (403, 404, 503))
LIST_LETTERS = {
    "parameters": PAGE[:1],
    **answers(_good("The oldest, and how many there are.", {"letters": [_LETTER], "total": 1}), _REFUSALS),
}
REDRIVE = {**_CHOICE, **answers(_good("How many were there.", {"redriven": 1}), _REFUSALS)}
PURGE = {**_CHOICE, **answers(_good("How many were there.", {"purged": 1}), _REFUSALS)}
