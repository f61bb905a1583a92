"""A stand-in for the artifacts service over gRPC: holds bytes in memory and signs links with a fixed word."""

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from nanogrid import caller
from nanogrid.errors import NanoGridError, NotFoundError
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1 import artifacts_pb2_grpc
from nanogrid.v1.artifacts_pb2 import CodeInfo

EXPIRES = 2_000_000_000
MODIFIED = 1_700_000_000  # when every output was stored: Tue, 14 Nov 2023 22:13:20 GMT


class FakeArtifacts(artifacts_pb2_grpc.ArtifactsServiceServicer):
    """Holds the uploads of the gateway, and fails as the test sets it."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}
        self.filenames: list[str] = []
        self.largest_chunk = 0
        self.root_files: list[str] = []
        self.outputs: dict[str, bytes] = {}
        self.content_type = "text/plain"
        self.absolute_links = False
        self.breaks_off = False  # downloads end in the middle
        self.refusal: NanoGridError | None = None  # raised by every call while set
        self.begun = 0  # uploads that sent their header
        self.deleted = 0
        self.downloads_over = 0
        self.chunks_sent = 0
        self.ended = 0  # uploads that are over, complete or not
        self.on_description: Callable[[], object] = lambda: None  # called once an output was described
        self.callers: list[caller.Caller] = []

    async def UploadCode(self, request_iterator: AsyncIterator[Any], context_: Any) -> pb.UploadCodeResponse:  # noqa: N802
        self._enter()
        header, body = (await anext(request_iterator)).header, bytearray()
        self.begun += 1
        self.filenames.append(header.filename)
        try:
            async for request in request_iterator:
                self.largest_chunk = max(self.largest_chunk, len(request.chunk))
                body += request.chunk
        finally:
            self.ended += 1
        key = f"functions/{header.function_id}/code.zip"
        self.code[key] = bytes(body)
        return pb.UploadCodeResponse(code=self._info(key))

    async def InspectCode(self, request: pb.InspectCodeRequest, _: Any) -> pb.InspectCodeResponse:  # noqa: N802
        self._enter()
        return pb.InspectCodeResponse(code=self._info(request.s3_key))

    async def DeleteCode(self, request: pb.DeleteCodeRequest, _: Any) -> pb.DeleteCodeResponse:  # noqa: N802
        self._enter()
        assert uuid.UUID(request.function_id)
        self.deleted += 1
        self.code.pop(f"functions/{request.function_id}/code.zip", None)
        return pb.DeleteCodeResponse()

    async def SignOutputs(self, request: pb.SignOutputsRequest, _: Any) -> pb.SignOutputsResponse:  # noqa: N802
        self._enter()
        prefix = "https://bucket.example" if self.absolute_links else ""
        return pb.SignOutputsResponse(
            urls=[f"{prefix}/{quote(key)}?expires={EXPIRES}&signature={signature(key)}" for key in request.keys]
        )

    async def DescribeOutput(self, request: pb.DescribeOutputRequest, _: Any) -> pb.DescribeOutputResponse:  # noqa: N802
        self._enter()
        info, _ = self._output(request)
        self.on_description()
        return pb.DescribeOutputResponse(info=info)

    async def DownloadOutput(self, request: pb.DownloadOutputRequest, _: Any) -> AsyncIterator[Any]:  # noqa: N802
        self._enter()
        info, body = self._output(request)
        yield pb.DownloadOutputResponse(info=info)
        body = body[request.first_byte :]
        body = body[: request.size_bytes] if request.size_bytes else body
        try:
            for start in range(0, len(body), 1000):
                yield pb.DownloadOutputResponse(chunk=body[start : start + 1000])
                self.chunks_sent += 1
                if self.breaks_off:
                    raise NotFoundError("gone in the middle")
        finally:
            self.downloads_over += 1

    def _output(self, request: Any) -> tuple[pb.OutputInfo, bytes]:
        # Like the real one, it needs no signature from the grid's services.
        good = request.signature in ("", signature(request.key)) and request.expires_at_s in (0, EXPIRES)
        if not good or request.key not in self.outputs:
            raise NotFoundError("no such output")
        body = self.outputs[request.key]
        info = pb.OutputInfo(size_bytes=len(body), content_type=self.content_type)
        info.etag = hashlib.sha256(body).hexdigest()[:16]
        info.modified_at.FromSeconds(MODIFIED)
        return info, body

    def _info(self, key: str) -> CodeInfo:
        if key not in self.code:
            raise NotFoundError("no such code")
        body = self.code[key]
        return CodeInfo(
            s3_key=key,
            code_sha256=hashlib.sha256(body).hexdigest(),
            size_bytes=len(body),
            root_files=self.root_files,
        )

    def _enter(self) -> None:
        self.callers.append(caller.caller())
        if self.refusal is not None:
            raise self.refusal


def signature(key: str) -> str:
    return hashlib.sha256(b"word" + key.encode()).hexdigest()[:16]
