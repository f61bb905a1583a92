"""Output files behind signed URLs, for object stores that cannot serve browsers themselves."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import backends, openapi
from nanogrid.errors import InternalError, NotFoundError
from nanogrid.v1.artifacts_pb2 import DownloadOutputRequest, DownloadOutputResponse, OutputInfo

router = APIRouter()

_MAX_EXPIRY_DIGITS = 12


@router.get("/outputs/{job_id}/{path:path}", response_class=Response, openapi_extra=openapi.OUTPUT)
async def output(request: Request, job_id: str, path: str) -> Response:
    """An output file, at the URL that a job's answer gave."""
    expires = request.query_params.get("expires", "")
    signature = request.query_params.get("signature", "")
    # Without a signature artifacts would take our own word for the caller's: never ask then.
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
    return _File(first.info, path.rpartition("/")[2], stream)


class _File(Response):
    """Passes a stream on at the pace of the client, and ends it when the client goes."""

    def __init__(self, info: OutputInfo, name: str, stream: AsyncIterator[DownloadOutputResponse]) -> None:
        # Users' files come from our own address: nothing in them may run as a page of ours.
        headers = {
            "content-length": str(info.size_bytes),
            "content-type": info.content_type or "application/octet-stream",
            "content-disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
            "cache-control": "private",
        }
        super().__init__(headers=headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the head, then the file piece by piece."""
        async with aclosing(self._stream) as stream:  # type: ignore[type-var]  # the stub's answer is a generator
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for message in stream:
                await send({"type": "http.response.body", "body": message.chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _gone() -> NotFoundError:
    return NotFoundError("there is no such output, or its link has expired; GET /status/{job_id} makes new links")
