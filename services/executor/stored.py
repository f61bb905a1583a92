"""What the executor asks of artifacts, having no storage credentials: bundles in, outputs out, builds both ways."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.resources_pb2 import OutputFile

if TYPE_CHECKING:
    from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceAsyncStub


class Stored:
    """Speaks to ArtifactsService."""

    def __init__(self, artifacts: "ArtifactsServiceAsyncStub") -> None:
        self._artifacts = artifacts

    async def fetch_bundle(self, s3_key: str) -> AsyncIterator[str | bytes]:
        """The digest of the bundle, then its bytes. NotFoundError when there is none."""
        async for part in self._artifacts.DownloadCode(pb.DownloadCodeRequest(s3_key=s3_key)):
            yield part.code.code_sha256 if part.HasField("code") else part.chunk

    async def fetch_build(self, key: str) -> AsyncIterator[str | bytes]:
        """The digest of a build, then its bytes. NotFoundError when nobody has built it. `key`: see builds."""
        async for part in self._artifacts.DownloadBuild(pb.DownloadBuildRequest(build=_build_key(key))):
            yield part.build.build_sha256 if part.HasField("build") else part.chunk

    async def store_build(self, key: str, content: AsyncIterator[bytes]) -> None:
        """Keep a build for every executor; keeping it again overwrites."""

        async def parts() -> AsyncIterator[pb.UploadBuildRequest]:
            yield pb.UploadBuildRequest(header=_build_key(key))
            async for chunk in content:
                yield pb.UploadBuildRequest(chunk=chunk)
            yield pb.UploadBuildRequest(end=True)

        await self._artifacts.UploadBuild(parts())

    async def keep_records(self, records: Sequence[pb.FinishedRecord]) -> Sequence[pb.KeptRecord]:
        """Keep finished records durably; what was kept earlier stays, and is answered."""
        return (await self._artifacts.KeepResults(pb.KeepResultsRequest(records=records))).kept

    async def read_record(self, job_id: str) -> bytes:
        """The durable record of a job. NotFoundError when there is none."""
        return (await self._artifacts.GetResult(pb.GetResultRequest(job_id=job_id))).record

    async def read_payload(self, job_id: str) -> bytes:
        """The payload of a job that was too large for its message. NotFoundError when it is gone."""
        return (await self._artifacts.GetPayload(pb.GetPayloadRequest(job_id=job_id))).payload

    async def store_output(self, job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        """Store one output file; storing it again overwrites."""

        async def parts() -> AsyncIterator[pb.UploadOutputRequest]:
            yield pb.UploadOutputRequest(header=pb.UploadOutputHeader(job_id=job_id, path=path))
            async for chunk in content:
                yield pb.UploadOutputRequest(chunk=chunk)
            yield pb.UploadOutputRequest(end=True)

        answer = await self._artifacts.UploadOutput(parts())
        return OutputFile(key=answer.key, size_bytes=answer.size_bytes)


def _build_key(key: str) -> pb.BuildKey:
    runtime, toolchain, code_sha256 = key.split("/")
    return pb.BuildKey(runtime=runtime, toolchain=toolchain, code_sha256=code_sha256)
