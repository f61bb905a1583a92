"""Implements the gRPC service of the invoker."""

from typing import Any

from grpc.aio import ServicerContext

from nanogrid import paging
from nanogrid.caller import caller
from nanogrid.ids import canonical_id, unknown_job
from nanogrid.jobs import JobFilter, JobStore
from nanogrid.queue import DeadLetter
from nanogrid.rpc.auth import require_internal
from nanogrid.v1 import invoker_pb2 as pb
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceServicer
from services.invoker.dead_letters import DeadLetters, job_in
from services.invoker.results import JobReader
from services.invoker.retirement import Retirement
from services.invoker.submitter import FunctionCall, Submitter

Context = ServicerContext[Any, Any]

_EXCERPT_BYTES = 1024


class InvokerServicer(InvokerServiceServicer):
    """Translates requests and answers. The rules are in Submitter, JobReader, Retirement and DeadLetters."""

    def __init__(
        self,
        submitter: Submitter,
        jobs: JobStore,
        *,
        results: JobReader,
        dead_letters: DeadLetters,
        retirement: Retirement,
    ) -> None:
        self._submitter = submitter
        self._jobs = jobs
        self._results = results
        self._dead_letters = dead_letters
        self._retirement = retirement

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        return pb.SubmitJobResponse(job=await self._submitter.submit(_call(request)))

    async def InvokeJob(self, request: pb.InvokeJobRequest, context: Context) -> pb.InvokeJobResponse:
        return pb.InvokeJobResponse(job=await self._submitter.invoke(_call(request), request.wait_s))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        job = await self._results.get(request.job_id)
        _require_visible(job.owner, request.job_id)
        return pb.GetJobResponse(job=job)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        where = JobFilter(_principal(), canonical_id(request.function_id), request.state)
        jobs, token = await self._jobs.page(where, paging.size(request.page_size), request.page_token)
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def RetireFunction(self, request: pb.RetireFunctionRequest, context: Context) -> pb.RetireFunctionResponse:
        await self._retirement.retire(canonical_id(request.function_id))
        return pb.RetireFunctionResponse()

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        require_internal()
        letters, total = await self._dead_letters.page(paging.size(request.page_size))
        return pb.ListDeadLettersResponse(letters=[_letter(one) for one in letters], total=total)

    async def RedriveDeadLetters(
        self, request: pb.RedriveDeadLettersRequest, context: Context
    ) -> pb.RedriveDeadLettersResponse:
        require_internal()
        redriven = await self._dead_letters.redrive(request.letter_ids, everything=request.all)
        return pb.RedriveDeadLettersResponse(redriven=redriven)

    async def PurgeDeadLetters(
        self, request: pb.PurgeDeadLettersRequest, context: Context
    ) -> pb.PurgeDeadLettersResponse:
        require_internal()
        return pb.PurgeDeadLettersResponse(
            purged=await self._dead_letters.purge(request.letter_ids, everything=request.all)
        )

    async def ListExecutors(self, request: pb.ListExecutorsRequest, context: Context) -> pb.ListExecutorsResponse:
        return pb.ListExecutorsResponse(executors=await self._jobs.executors())


def _principal() -> str | None:
    return caller().principal


def _call(request: pb.SubmitJobRequest | pb.InvokeJobRequest) -> FunctionCall:
    function_id = canonical_id(request.function_id)
    return FunctionCall(function_id, request.payload, request.dialect, request.idempotency_key, request.job_id)


def _letter(letter: DeadLetter) -> pb.DeadLetter:
    job = job_in(letter)
    told = pb.DeadLetter(
        letter_id=letter.letter_id,
        job_id=job.job_id if job else "",
        function_id=job.function_id if job else "",
        reason=letter.reason or "the queue gave it up after too many receives",
        receives=letter.receives,
        excerpt=letter.body[:_EXCERPT_BYTES],
    )
    told.died_at.FromMilliseconds(letter.died_at_ms)
    return told


def _require_visible(owner: str, job_id: str) -> None:
    if not caller().may_see(owner):
        raise unknown_job(job_id)
