"""The gRPC edge of artifacts: messages and streams in, rules, messages and streams out."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from grpc.aio import ServicerContext

from nanogrid.errors import InvalidFieldError
from nanogrid.rpc.auth import require_internal
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1 import artifacts_pb2_grpc
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo
from services.artifacts.results import DurableResults
from services.artifacts.vault import Vault

_Call = ServicerContext[Any, Any]


class ArtifactsServicer(artifacts_pb2_grpc.ArtifactsServiceServicer):
    """Serves ArtifactsService."""

    def __init__(self, vault: Vault, results: DurableResults) -> None:
        self._vault = vault
        self._results = results

    async def UploadCode(self, requests: AsyncIterable[pb.UploadCodeRequest], _: _Call) -> pb.UploadCodeResponse:
        require_internal()
        header, chunks = await _split(requests, pb.UploadCodeRequest)
        return pb.UploadCodeResponse(code=await self._vault.upload_code(header.function_id, header.filename, chunks))

    async def DownloadCode(self, request: pb.DownloadCodeRequest, _: _Call) -> AsyncIterator[pb.DownloadCodeResponse]:
        require_internal()
        async with self._vault.open_code(request.s3_key) as (code, chunks):
            yield pb.DownloadCodeResponse(code=code)
            async for chunk in chunks:
                yield pb.DownloadCodeResponse(chunk=chunk)

    async def InspectCode(self, request: pb.InspectCodeRequest, _: _Call) -> pb.InspectCodeResponse:
        require_internal()
        return pb.InspectCodeResponse(code=await self._vault.inspect_code(request.s3_key))

    async def DeleteCode(self, request: pb.DeleteCodeRequest, _: _Call) -> pb.DeleteCodeResponse:
        require_internal()
        await self._vault.delete_code(request.function_id)
        return pb.DeleteCodeResponse()

    async def UploadOutput(self, requests: AsyncIterable[pb.UploadOutputRequest], _: _Call) -> pb.UploadOutputResponse:
        require_internal()
        header, chunks = await _split(requests, pb.UploadOutputRequest)
        stored = await self._vault.upload_output(header.job_id, header.path, chunks)
        return pb.UploadOutputResponse(key=stored.key, size_bytes=stored.size_bytes)

    async def DownloadOutput(
        self, request: pb.DownloadOutputRequest, _: _Call
    ) -> AsyncIterator[pb.DownloadOutputResponse]:
        self._require_right(request)
        async with self._vault.open_output(request.key, request.first_byte, request.size_bytes) as (info, chunks):
            yield pb.DownloadOutputResponse(info=_output_info(info))
            async for chunk in chunks:
                yield pb.DownloadOutputResponse(chunk=chunk)

    async def DescribeOutput(self, request: pb.DescribeOutputRequest, _: _Call) -> pb.DescribeOutputResponse:
        self._require_right(request)
        return pb.DescribeOutputResponse(info=_output_info(await self._vault.describe_output(request.key)))

    async def UploadBuild(self, requests: AsyncIterable[pb.UploadBuildRequest], _: _Call) -> pb.UploadBuildResponse:
        require_internal()
        header, chunks = await _split(requests, pb.UploadBuildRequest)
        return pb.UploadBuildResponse(build=await self._vault.upload_build(header, chunks))

    async def DownloadBuild(
        self, request: pb.DownloadBuildRequest, _: _Call
    ) -> AsyncIterator[pb.DownloadBuildResponse]:
        require_internal()
        async with self._vault.open_build(request.build) as (build, chunks):
            yield pb.DownloadBuildResponse(build=build)
            async for chunk in chunks:
                yield pb.DownloadBuildResponse(chunk=chunk)

    async def KeepResults(self, request: pb.KeepResultsRequest, _: _Call) -> pb.KeepResultsResponse:
        require_internal()
        return pb.KeepResultsResponse(kept=await self._results.keep(request.records))

    async def GetResult(self, request: pb.GetResultRequest, _: _Call) -> pb.GetResultResponse:
        require_internal()
        return pb.GetResultResponse(record=await self._results.get(request.job_id))

    async def DeleteResult(self, request: pb.DeleteResultRequest, _: _Call) -> pb.DeleteResultResponse:
        require_internal()
        await self._results.delete(request.job_id)
        return pb.DeleteResultResponse()

    async def KeepPayload(self, request: pb.KeepPayloadRequest, _: _Call) -> pb.KeepPayloadResponse:
        require_internal()
        await self._results.keep_payload(request.job_id, request.payload)
        return pb.KeepPayloadResponse()

    async def GetPayload(self, request: pb.GetPayloadRequest, _: _Call) -> pb.GetPayloadResponse:
        require_internal()
        return pb.GetPayloadResponse(payload=await self._results.get_payload(request.job_id))

    async def SignOutputs(self, request: pb.SignOutputsRequest, _: _Call) -> pb.SignOutputsResponse:
        require_internal()
        return pb.SignOutputsResponse(urls=await self._vault.sign_outputs(list(request.keys)))

    def _require_right(self, request: pb.DownloadOutputRequest | pb.DescribeOutputRequest) -> None:
        # A signature is checked whoever brings it: the gateway passes on the browser's, with a token of its own.
        if request.signature or request.expires_at_s:
            self._vault.check_signature(request.key, request.expires_at_s, request.signature)
        else:
            require_internal()


async def _split(requests: AsyncIterable[Any], kind: type[Any]) -> tuple[Any, AsyncIterator[bytes]]:
    """Return the header that an upload starts with, and its chunks as they come."""
    parts = aiter(requests)
    first = await anext(parts, None)
    if not isinstance(first, kind) or first.WhichOneof("part") != "header":
        raise InvalidFieldError("header", "is missing; send it as the first message of the stream")
    return first.header, _chunks(parts, kind)


async def _chunks(parts: AsyncIterator[Any], kind: type[Any]) -> AsyncIterator[bytes]:
    async for part in parts:
        if isinstance(part, kind) and part.end:
            return
        if not isinstance(part, kind) or part.WhichOneof("part") != "chunk":
            raise InvalidFieldError("chunk", "is missing; after the header send chunks, and `end`")
        if len(part.chunk) > CHUNK_BYTES:
            raise InvalidFieldError("chunk", f"is {len(part.chunk)} bytes long; the limit is {CHUNK_BYTES} bytes")
        yield part.chunk
    # gRPC ends the stream of a call that its client broke off as if it were whole.
    raise InvalidFieldError("end", "is missing; send it when the last chunk is sent")


def _output_info(info: BlobInfo) -> pb.OutputInfo:
    told = pb.OutputInfo(size_bytes=info.size_bytes, content_type=info.content_type, etag=info.etag)
    told.modified_at.FromMilliseconds(int(info.modified_s * 1000))
    return told
