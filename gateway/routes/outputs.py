"""Serves output files at signed URLs, for object stores that cannot serve browsers themselves."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway import backends
from gateway.rest import openapi
from nanogrid.errors import InternalError, NotFoundError
from nanogrid.v1.artifacts_pb2 import DownloadOutputRequest, DownloadOutputResponse, OutputInfo

router = APIRouter()

_MAX_EXPIRY_DIGITS = 12


@router.get("/outputs/{job_id}/{path:path}", response_class=Response, openapi_extra=openapi.OUTPUT)
async def output(request: Request, job_id: str, path: str) -> Response:
    """Return an output file, at a URL from a job's answer."""
    expires = request.query_params.get("expires", "")
    signature = request.query_params.get("signature", "")
    # Without a signature artifacts would trust the gateway's own rights, so it must not be asked.
    if not signature or not expires.isdecimal() or not expires.isascii() or len(expires) > _MAX_EXPIRY_DIGITS:
        raise _gone()
    asked = DownloadOutputRequest(key=f"outputs/{job_id}/{path}", expires_at_s=int(expires), signature=signature)
    stream = aiter(backends.of(request).artifacts.DownloadOutput(asked))
    try:
        first = await anext(stream)
    except (NotFoundError, StopAsyncIteration):
        raise _gone() from None
    if first.WhichOneof("part") != "info":
        raise InternalError("artifacts sent bytes before their description")
    return StreamingResponse(_chunks(stream), headers=_headers(first.info, path.rpartition("/")[2]))


def _headers(info: OutputInfo, name: str) -> dict[str, str]:
    return {
        "content-length": str(info.size_bytes),
        "content-type": info.content_type or "application/octet-stream",
        "content-disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        # Users' files share the gateway's origin, so scripts in them must not run.
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "private",
    }


async def _chunks(stream: AsyncIterator[DownloadOutputResponse]) -> AsyncIterator[bytes]:
    async for message in stream:
        yield message.chunk


def _gone() -> NotFoundError:
    return NotFoundError("there is no such output, or its link has expired; GET /status/{job_id} makes new links")
