"""A stand-in for the invoker over gRPC: a function's job ends as the test sets it."""

import asyncio
import uuid
from typing import Any

from nanogrid import caller
from nanogrid.errors import NanoGridError, NotFoundError, UnavailableError
from nanogrid.v1 import invoker_pb2 as pb
from nanogrid.v1 import invoker_pb2_grpc
from nanogrid.v1.resources_pb2 import Dialect, ExecutorInfo, Job, JobState


class FakeInvoker(invoker_pb2_grpc.InvokerServiceServicer):
    """Answers every call of a known function with the job set for it, completed with ids and times."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Job] = {}  # by function id
        self.jobs: dict[str, Job] = {}
        self.requests: list[Any] = []
        self.callers: list[caller.Caller] = []
        self.retired: list[str] = []
        self.runtimes = ["python3.11"]
        self.evicted = 0  # sandboxes, by each executor
        self.asked_for_executors = 0
        self.refusal: NanoGridError | None = None
        self.finished = asyncio.Event()  # clear it to keep sync calls waiting
        self.finished.set()
        self.arrived = asyncio.Event()
        self.answered = 0  # sync calls that were answered
        self.broken: set[str] = set()  # dependencies that do not work

    def probes(self) -> dict[str, Any]:
        """Return the probes of the dependencies for the health service."""

        def probe(name: str) -> Any:
            async def ask() -> None:
                if name in self.broken:
                    raise UnavailableError(f"{name} is broken")

            return ask

        return {name: probe(name) for name in ("redis", "queue")}

    def will_end(self, function_id: str = "", **fields: Any) -> str:
        """Set the outcome of a function's calls, SUCCESS without a result by default. Return its id."""
        function_id = function_id or str(uuid.uuid4())
        self.outcomes[function_id] = Job(**({"state": JobState.JOB_STATE_SUCCESS} | fields))
        return function_id

    async def SubmitJob(self, request: pb.SubmitJobRequest, _: Any) -> pb.SubmitJobResponse:  # noqa: N802
        job = self._accept(request)
        job.state = JobState.JOB_STATE_PENDING
        return pb.SubmitJobResponse(job=job)

    async def InvokeJob(self, request: pb.InvokeJobRequest, _: Any) -> pb.InvokeJobResponse:  # noqa: N802
        job = self._accept(request)
        self.arrived.set()
        await self.finished.wait()
        self.answered += 1
        return pb.InvokeJobResponse(job=job)

    async def GetJob(self, request: pb.GetJobRequest, _: Any) -> pb.GetJobResponse:  # noqa: N802
        self._enter(request)
        if request.job_id not in self.jobs:
            raise NotFoundError("no such job")
        return pb.GetJobResponse(job=self.jobs[request.job_id])

    async def ListJobs(self, request: pb.ListJobsRequest, _: Any) -> pb.ListJobsResponse:  # noqa: N802
        self._enter(request)
        return pb.ListJobsResponse(jobs=self.jobs.values(), next_page_token="more" if self.jobs else "")

    async def RetireFunction(self, request: pb.RetireFunctionRequest, _: Any) -> pb.RetireFunctionResponse:  # noqa: N802
        self._enter(request)
        if request.function_id not in self.outcomes:
            raise NotFoundError("no such function")
        self.retired.append(request.function_id)
        return pb.RetireFunctionResponse()

    async def ListExecutors(self, request: pb.ListExecutorsRequest, _: Any) -> pb.ListExecutorsResponse:  # noqa: N802
        self._enter(request)
        self.asked_for_executors += 1
        executors = [
            ExecutorInfo(
                executor_id=name, runtimes=[name], memory_pressure=self.evicted > 0, evicted_sandboxes=self.evicted
            )
            for name in self.runtimes
        ]
        return pb.ListExecutorsResponse(executors=executors)

    def _accept(self, request: Any) -> Job:
        self._enter(request)
        if request.function_id not in self.outcomes:
            raise NotFoundError("no such function")
        job = Job()
        job.CopyFrom(self.outcomes[request.function_id])
        job.job_id = f"job-{uuid.uuid4()}"
        job.function_id = request.function_id
        job.dialect = request.dialect or Dialect.DIALECT_STANDARD
        for file in job.output_files:
            file.key = f"outputs/{job.job_id}/{file.key}"
        job.created_at.GetCurrentTime()
        self.jobs[job.job_id] = job
        return job

    def _enter(self, request: Any) -> None:
        self.requests.append(request)
        self.callers.append(caller.caller())
        if self.refusal is not None:
            raise self.refusal
