"""Implements the gRPC service of the executor."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from grpc.aio import ServicerContext

from nanogrid.caller import caller
from nanogrid.rpc.auth import require_internal
from nanogrid.v1 import executor_pb2 as pb
from nanogrid.v1.executor_pb2_grpc import ExecutorServiceServicer
from nanogrid.v1.resources_pb2 import ExecutorInfo
from services.executor.pool.pool import Pool
from services.executor.pool.slot import Slot, SlotState
from services.executor.run.output_log import OutputLogs, Piece
from services.executor.sandbox import OutputStream

Context = ServicerContext[Any, Any]

_STATES = {
    SlotState.GENERIC: pb.SANDBOX_STATE_GENERIC,
    SlotState.SPECIALISING: pb.SANDBOX_STATE_SPECIALISING,
    SlotState.BUSY: pb.SANDBOX_STATE_BUSY,
    SlotState.IDLE: pb.SANDBOX_STATE_IDLE,
    SlotState.FROZEN: pb.SANDBOX_STATE_FROZEN,
    SlotState.DEAD: pb.SANDBOX_STATE_UNSPECIFIED,
}


class ExecutorServicer(ExecutorServiceServicer):
    """Reports the executor's state and streams the output of its jobs."""

    def __init__(self, pool: Pool, live: OutputLogs, describe: Callable[[], ExecutorInfo]) -> None:
        self._pool = pool
        self._live = live
        self._describe = describe

    async def GetExecutor(self, request: pb.GetExecutorRequest, context: Context) -> pb.GetExecutorResponse:
        require_internal()
        sandboxes = [_info(slot) for slot in self._pool.slots()]
        return pb.GetExecutorResponse(executor=self._describe(), sandboxes=sandboxes)

    async def StreamOutput(
        self, request: pb.StreamOutputRequest, context: Context
    ) -> AsyncIterator[pb.StreamOutputResponse]:
        async for piece in self._live.find(request.job_id, caller()).pieces():
            yield _piece(piece)


def _piece(piece: Piece) -> pb.StreamOutputResponse:
    stream = pb.OUTPUT_STREAM_STDOUT if piece.stream is OutputStream.STDOUT else pb.OUTPUT_STREAM_STDERR
    answer = pb.StreamOutputResponse(sequence=piece.sequence, stream=stream, data=piece.data)
    answer.written_at.FromMilliseconds(piece.written_at_ms)
    return answer


def _info(slot: Slot) -> pb.SandboxInfo:
    return pb.SandboxInfo(
        sandbox_id=slot.sandbox.sandbox_id,
        function_id=slot.function_id,
        runtime=slot.sandbox.runtime.name,
        state=_STATES[slot.state],
        calls=slot.calls,
    )
