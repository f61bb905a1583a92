"""Reads JSON bodies: limits their size while they arrive, and checks them once."""

from typing import Any

import orjson
from starlette.requests import Request

from gateway.rest.encodings import read_body
from nanogrid.errors import InvalidFieldError, UnsupportedMediaTypeError
from nanogrid.json_mistakes import describe_mistake
from nanogrid.json_text import JsonError, cut_members


async def read_members(request: Request, limit: int) -> dict[str, bytes]:
    """Read a JSON object and split it into the JSON text of its members.

    415 for another media type or encoding, 413 beyond `limit` bytes, 400 for anything but a JSON object.
    """
    _check_media_type(request)
    body = b"".join([piece async for piece in read_body(request, limit)])
    try:
        return cut_members(body)
    except JsonError as error:
        if error.member:
            raise InvalidFieldError(error.member[:64], f"{error}") from None
        raise InvalidFieldError("body", describe_mistake(body, f"{error}")) from None


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Read a JSON object and parse its values. Errors as for `read_members`."""
    members = await read_members(request, limit)
    return {name: orjson.loads(text) for name, text in members.items()}


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return
    # Without keys the media type is part of the guard: web pages may send bodies without one, or as text, anywhere.
    if not media_type and request.app.state.doorkeeper.required:
        return
    said = f"{media_type[:64]!r} is not taken here" if media_type else "is missing"
    raise UnsupportedMediaTypeError(
        f"Content-Type: {said}; send the body as JSON with `Content-Type: application/json`", field="Content-Type"
    )
