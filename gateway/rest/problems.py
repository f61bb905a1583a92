"""Turns exceptions into RFC 9457 `application/problem+json` answers."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.rest import paths
from nanogrid import caller
from nanogrid.errors import InternalError, InvalidFieldError, NanoGridError
from nanogrid.logs import logger

MEDIA_TYPE = "application/problem+json"
RETRY_S = "1"  # Retry-After of retryable errors

# Fields that have another name in REST than in the contract.
_REST_NAMES = {
    "timeout_s": "timeout",
    "filename": "file",
    "page_size": "limit",
    "page_token": "cursor",
    "idempotency_key": "Idempotency-Key",
}
# What an error says in a header of its answer.
_HEADERS = {"accept_encoding": "accept-encoding", "content_range": "content-range"}
_NUMBERS = ("limit", "actual")

log = logger()


def response(error: Exception, path: str) -> Response:
    """Return the answer for `error`. Unknown errors are logged, and answered 500 without their text."""
    if isinstance(error, HTTPException):
        return _of_http(error, f"there is nothing at {path}; GET /docs lists what there is")
    if isinstance(error, RequestValidationError):
        error = _of_validation(error)
    if not isinstance(error, NanoGridError):
        log.error("request failed", path=path, exc_info=error)
        error = InternalError("internal error; the log has it under the request id")
    elif isinstance(error, InternalError):
        log.error("a service failed", path=path, error=error.message)
    return _of_ours(error)


async def handle(request: Request, error: Exception) -> Response:
    """Return the problem answer, in the form that Starlette expects of its exception handlers."""
    if isinstance(error, HTTPException):
        return _of_router(error, request)
    return response(error, request.url.path)


def _of_ours(error: NanoGridError) -> Response:
    headers = {}
    if error.retryable:
        headers["retry-after"] = RETRY_S
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="nanogrid"'
    detail, extras = _in_rest_names(error)
    headers |= {header: extras.pop(name) for name, header in _HEADERS.items() if name in extras}
    return _render(
        error.http_status,
        code=error.code,
        reason=error.reason,
        retryable=error.retryable,
        detail=detail,
        extras=extras,
        headers=headers,
    )


def _of_router(error: HTTPException, request: Request) -> Response:
    """Return the answer for the router's own errors: an unknown path or method. It says which there are."""
    path, method = request.scope["path"], request.method
    methods = paths.methods_of(path, request.app.openapi())
    if methods and method not in methods:
        able = " or ".join(one for one in methods if one != "HEAD")
        detail = f"{path} takes {able}, not {method}; GET /docs shows how"
        return _of_http(HTTPException(405, headers={"allow": ", ".join(methods)}), detail)
    meant = paths.did_you_mean(path, request.app.openapi())
    return _of_http(error, f"there is nothing at {path}; GET /docs lists what there is{meant}")


def _of_http(error: HTTPException, detail: str) -> Response:
    unknown_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    return _render(
        error.status_code,
        code="UNIMPLEMENTED" if unknown_method else "NOT_FOUND",
        reason="METHOD_NOT_ALLOWED" if unknown_method else "NOT_FOUND",
        retryable=False,
        detail=detail,
        extras={},
        headers=dict(error.headers or {}),
    )


def _of_validation(error: RequestValidationError) -> InvalidFieldError:
    first = error.errors()[0]
    return InvalidFieldError(str(first["loc"][-1]), first["msg"])


def _in_rest_names(error: NanoGridError) -> tuple[str, dict[str, Any]]:
    detail, extras = error.message, dict[str, Any](error.metadata)
    field = extras.get("field", "")
    if field in _REST_NAMES:
        extras["field"] = _REST_NAMES[field]
        detail = detail.replace(field, _REST_NAMES[field])
    for name in _NUMBERS:
        if str(extras.get(name, "")).isdecimal():
            extras[name] = int(extras[name])
    return detail, extras


def _render(
    status: int,
    *,
    code: str,
    reason: str,
    retryable: bool,
    detail: str,
    extras: dict[str, Any],
    headers: dict[str, str],
) -> Response:
    body = extras | {
        "type": f"urn:nanogrid:problem:{reason.lower().replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "reason": reason,
        "retryable": retryable,
        "request_id": caller.caller().request_id,
    }
    return Response(orjson.dumps(body), status, headers, media_type=MEDIA_TYPE)
