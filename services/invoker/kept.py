"""What the invoker asks of artifacts: durable records, and payloads too large for a message."""

from typing import TYPE_CHECKING

from nanogrid.v1 import artifacts_pb2 as pb

if TYPE_CHECKING:
    from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceAsyncStub

_ANSWER_S = 10.0


class Kept:
    """Speaks to ArtifactsService."""

    def __init__(self, artifacts: "ArtifactsServiceAsyncStub") -> None:
        self._artifacts = artifacts

    async def read(self, job_id: str) -> bytes:
        """A durable record. NotFoundError."""
        return (await self._artifacts.GetResult(pb.GetResultRequest(job_id=job_id), timeout=_ANSWER_S)).record

    async def keep(self, record: pb.FinishedRecord) -> bytes:
        """Keep a record; b"", or the different one that was kept earlier and stays."""
        answer = await self._artifacts.KeepResults(pb.KeepResultsRequest(records=[record]), timeout=_ANSWER_S)
        return answer.kept[0].earlier

    async def forget(self, job_id: str) -> None:
        """Forget a record: its job is to run again."""
        await self._artifacts.DeleteResult(pb.DeleteResultRequest(job_id=job_id), timeout=_ANSWER_S)

    async def keep_payload(self, job_id: str, payload: bytes) -> None:
        """Keep a payload apart from its message."""
        await self._artifacts.KeepPayload(pb.KeepPayloadRequest(job_id=job_id, payload=payload), timeout=_ANSWER_S)
