"""The gRPC edge of the invoker."""

from typing import TYPE_CHECKING, Any

from grpc.aio import ServicerContext

from nanogrid import pages
from nanogrid.context import caller
from nanogrid.errors import NotFoundError
from nanogrid.jobs import JobFilter, JobStore
from nanogrid.v1 import invoker_pb2 as pb
from nanogrid.v1 import registry_pb2
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceServicer
from services.invoker.functions import Functions
from services.invoker.submitter import Submitter

if TYPE_CHECKING:
    from nanogrid.v1.registry_pb2_grpc import RegistryServiceAsyncStub

Context = ServicerContext[Any, Any]


class InvokerServicer(InvokerServiceServicer):
    """Translates; the rules are in Submitter, the truth is in the job store."""

    def __init__(
        self, submitter: Submitter, jobs: JobStore, functions: Functions, registry: "RegistryServiceAsyncStub"
    ) -> None:
        self._submitter = submitter
        self._jobs = jobs
        self._functions = functions
        self._registry = registry

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        job = await self._submitter.submit(request.function_id, request.payload, request.dialect)
        return pb.SubmitJobResponse(job=job)

    async def InvokeJob(self, request: pb.InvokeJobRequest, context: Context) -> pb.InvokeJobResponse:
        job = await self._submitter.invoke(request.function_id, request.payload, request.dialect, request.wait_s)
        return pb.InvokeJobResponse(job=job)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        job = await self._jobs.get(request.job_id)
        _require_visible(job.owner, request.job_id)
        return pb.GetJobResponse(job=job)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        where = JobFilter(_principal(), request.function_id, request.state)
        jobs, token = await self._jobs.page(where, pages.size(request.page_size), request.page_token)
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def RetireFunction(self, request: pb.RetireFunctionRequest, context: Context) -> pb.RetireFunctionResponse:
        await self._registry.GetFunction(registry_pb2.GetFunctionRequest(function_id=request.function_id))
        await self._jobs.retire_function(request.function_id)
        await self._registry.DeleteFunction(registry_pb2.DeleteFunctionRequest(function_id=request.function_id))
        self._functions.forget(request.function_id)
        return pb.RetireFunctionResponse()

    async def ListExecutors(self, request: pb.ListExecutorsRequest, context: Context) -> pb.ListExecutorsResponse:
        return pb.ListExecutorsResponse(executors=await self._jobs.executors())


def _principal() -> str | None:
    return caller().principal


def _require_visible(owner: str, job_id: str) -> None:
    if not caller().may_see(owner):
        raise NotFoundError(f"job {job_id} is unknown, or ended more than 24 hours ago", field="job_id")
