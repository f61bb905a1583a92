"""Serves output files at signed URLs, whole or in parts, for object stores that cannot serve browsers themselves."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway import backends
from gateway.rest import openapi_outputs
from gateway.rest.conditions import HEADERS, File, Part, is_unchanged, part_of
from gateway.rest.routing import Router
from nanogrid.errors import InternalError, NotFoundError, UnavailableError
from nanogrid.v1.artifacts_pb2 import (
    DescribeOutputRequest,
    DownloadOutputRequest,
    DownloadOutputResponse,
    OutputInfo,
)

router = Router()

_Stream = AsyncGenerator[DownloadOutputResponse]
_MAX_EXPIRY_DIGITS = 12
_NOT_MODIFIED, _PARTIAL_CONTENT = 304, 206


@router.get("/outputs/{job_id}/{path:path}", response_class=Response, openapi_extra=openapi_outputs.OUTPUT)
async def output(request: Request, job_id: str, path: str) -> Response:
    """Return an output file, or a part of it, at a URL from a job's answer."""
    asked = _signed(request, f"outputs/{job_id}/{path}")
    name = path.rpartition("/")[2]
    is_head = request.method == "HEAD"
    if not is_head and HEADERS.isdisjoint(request.headers):
        info, stream = await _download(request, asked)
        return StreamingResponse(_chunks(stream), headers=_headers(_file(info), info, name))
    info = await _describe(request, asked)
    file = _file(info)
    if is_unchanged(request.headers, file):
        return Response(status_code=_NOT_MODIFIED, headers=file.headers | {"cache-control": "private"})
    part = part_of(request.headers, file)
    status, headers = _PARTIAL_CONTENT if part else 200, _headers(file, info, name, part)
    if is_head:
        return Response(status_code=status, headers=headers)
    if part:
        asked.first_byte, asked.size_bytes = part.first_byte, part.size_bytes
    again, stream = await _download(request, asked)
    if again.etag != info.etag:
        await stream.aclose()
        raise UnavailableError("the file was replaced meanwhile; try again")
    return StreamingResponse(_chunks(stream), status, headers)


def _signed(request: Request, key: str) -> DownloadOutputRequest:
    expires = request.query_params.get("expires", "")
    signature = request.query_params.get("signature", "")
    # Without a signature artifacts would trust the gateway's own rights, so it must not be asked.
    if not signature or not expires.isdecimal() or not expires.isascii() or len(expires) > _MAX_EXPIRY_DIGITS:
        raise _gone()
    return DownloadOutputRequest(key=key, expires_at_s=int(expires), signature=signature)


async def _describe(request: Request, asked: DownloadOutputRequest) -> OutputInfo:
    described = DescribeOutputRequest(key=asked.key, expires_at_s=asked.expires_at_s, signature=asked.signature)
    try:
        return (await backends.of(request).artifacts.DescribeOutput(described, timeout=backends.ANSWER_S)).info
    except NotFoundError:
        raise _gone() from None


async def _download(request: Request, asked: DownloadOutputRequest) -> tuple[OutputInfo, _Stream]:
    stream = cast(_Stream, backends.of(request).artifacts.DownloadOutput(asked))
    try:
        first = await anext(stream)
    except (NotFoundError, StopAsyncIteration):
        raise _gone() from None
    if first.WhichOneof("part") != "info":
        raise InternalError("artifacts sent bytes before their description")
    return first.info, stream


def _file(info: OutputInfo) -> File:
    return File(info.size_bytes, info.etag, info.modified_at.seconds)


def _headers(file: File, info: OutputInfo, name: str, part: Part | None = None) -> dict[str, str]:
    headers = file.headers | {
        "accept-ranges": "bytes",
        "content-length": str(part.size_bytes if part else file.size_bytes),
        "content-type": info.content_type or "application/octet-stream",
        "content-disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        # Users' files share the gateway's origin, so scripts in them must not run.
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "private",
    }
    return headers | {"content-range": part.content_range(file)} if part else headers


async def _chunks(stream: AsyncIterator[DownloadOutputResponse]) -> AsyncIterator[bytes]:
    async for message in stream:
        yield message.chunk


def _gone() -> NotFoundError:
    return NotFoundError("there is no such output, or its link has expired; GET /status/{job_id} makes new links")
