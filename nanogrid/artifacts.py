"""The port to the artifacts service for invokers and executors, and its gRPC client."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.resources_pb2 import OutputFile

if TYPE_CHECKING:
    from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceAsyncStub

_ANSWER_S = 10.0  # deadline of small calls; streams have none, because their size decides


class Artifacts(Protocol):
    """Storage of bundles, builds, output files, durable results and large payloads.

    Every method raises UnavailableError while artifacts is down, and NotFoundError for a missing object.
    """

    def fetch_bundle(self, s3_key: str) -> AsyncIterator[str | bytes]:
        """Stream a bundle: first its digest, then its bytes."""

    def fetch_build(self, key: str) -> AsyncIterator[str | bytes]:
        """Stream a build: first its digest, then its bytes. `key` is `runtime/toolchain/code_sha256`."""

    async def store_build(self, key: str, content: AsyncIterator[bytes]) -> None:
        """Store a build for every executor. Storing it again overwrites."""

    async def store_output(self, job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        """Store one output file. Storing it again overwrites."""

    async def sign_outputs(self, keys: Sequence[str]) -> Sequence[str]:
        """Return URLs that open output files without an API key. Those that begin with `/` are paths at the gateway."""

    async def keep_results(self, records: Sequence[pb.FinishedRecord]) -> Sequence[pb.KeptRecord]:
        """Store durable results. An earlier, different result of the same job stays and is returned."""

    async def read_result(self, job_id: str) -> bytes:
        """Return the durable result of a job: its record."""

    async def delete_result(self, job_id: str) -> None:
        """Delete the durable result of a job that is to run again."""

    async def keep_payload(self, job_id: str, payload: bytes) -> None:
        """Store a payload that is too large for its message."""

    async def read_payload(self, job_id: str) -> bytes:
        """Return the payload that was too large for its message."""

    async def delete_code(self, function_id: str) -> None:
        """Delete the bundle of a function. Deleting it twice is no error."""


class ArtifactsClient:
    """Calls artifacts over gRPC. Safe to use concurrently."""

    def __init__(self, stub: "ArtifactsServiceAsyncStub") -> None:
        self._stub = stub

    async def fetch_bundle(self, s3_key: str) -> AsyncIterator[str | bytes]:
        async for part in self._stub.DownloadCode(pb.DownloadCodeRequest(s3_key=s3_key)):
            yield part.code.code_sha256 if part.HasField("code") else part.chunk

    async def fetch_build(self, key: str) -> AsyncIterator[str | bytes]:
        async for part in self._stub.DownloadBuild(pb.DownloadBuildRequest(build=_build_key(key))):
            yield part.build.build_sha256 if part.HasField("build") else part.chunk

    async def store_build(self, key: str, content: AsyncIterator[bytes]) -> None:
        async def parts() -> AsyncIterator[pb.UploadBuildRequest]:
            yield pb.UploadBuildRequest(header=_build_key(key))
            async for chunk in content:
                yield pb.UploadBuildRequest(chunk=chunk)
            yield pb.UploadBuildRequest(end=True)

        await self._stub.UploadBuild(parts())

    async def store_output(self, job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        async def parts() -> AsyncIterator[pb.UploadOutputRequest]:
            yield pb.UploadOutputRequest(header=pb.UploadOutputHeader(job_id=job_id, path=path))
            async for chunk in content:
                yield pb.UploadOutputRequest(chunk=chunk)
            yield pb.UploadOutputRequest(end=True)

        answer = await self._stub.UploadOutput(parts())
        return OutputFile(key=answer.key, size_bytes=answer.size_bytes)

    async def sign_outputs(self, keys: Sequence[str]) -> Sequence[str]:
        return (await self._stub.SignOutputs(pb.SignOutputsRequest(keys=keys), timeout=_ANSWER_S)).urls

    async def keep_results(self, records: Sequence[pb.FinishedRecord]) -> Sequence[pb.KeptRecord]:
        return (await self._stub.KeepResults(pb.KeepResultsRequest(records=records))).kept

    async def read_result(self, job_id: str) -> bytes:
        return (await self._stub.GetResult(pb.GetResultRequest(job_id=job_id), timeout=_ANSWER_S)).record

    async def delete_result(self, job_id: str) -> None:
        await self._stub.DeleteResult(pb.DeleteResultRequest(job_id=job_id), timeout=_ANSWER_S)

    async def keep_payload(self, job_id: str, payload: bytes) -> None:
        await self._stub.KeepPayload(pb.KeepPayloadRequest(job_id=job_id, payload=payload), timeout=_ANSWER_S)

    async def read_payload(self, job_id: str) -> bytes:
        return (await self._stub.GetPayload(pb.GetPayloadRequest(job_id=job_id))).payload

    async def delete_code(self, function_id: str) -> None:
        await self._stub.DeleteCode(pb.DeleteCodeRequest(function_id=function_id))


def _build_key(key: str) -> pb.BuildKey:
    runtime, toolchain, code_sha256 = key.split("/")
    return pb.BuildKey(runtime=runtime, toolchain=toolchain, code_sha256=code_sha256)
