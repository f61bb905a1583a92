"""Accepting a job: recorded first, then queued; what is answered is never lost."""

import uuid

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid import context
from nanogrid.errors import InvalidFieldError, TooLargeError, UnavailableError
from nanogrid.jobs import JobStore
from nanogrid.jobs.task import Task, encode
from nanogrid.logs import logger
from nanogrid.queue import TaskQueue
from nanogrid.v1.resources_pb2 import Dialect, Job, JobState
from services.invoker.functions import Functions
from services.invoker.sent import Sent

log = logger()


class Submitter:
    """Submits jobs, with or without waiting for their end. Safe to use concurrently."""

    def __init__(
        self, functions: Functions, jobs: JobStore, queue: TaskQueue, sent: Sent, *, wait_s: float, payload_bytes: int
    ) -> None:
        self._functions = functions
        self._jobs = jobs
        self._queue = queue
        self._wait_s = wait_s
        self._payload_bytes = payload_bytes
        self._sent = sent

    async def submit(self, function_id: str, payload: bytes, dialect: Dialect.ValueType) -> Job:
        """Record and queue a job; answers it PENDING.

        NotFoundError, InvalidFieldError, TooLargeError or UnavailableError mean that nothing was accepted.
        """
        task = await self._task(function_id, payload, dialect)
        await self._accept(task)
        return task.job

    async def invoke(self, function_id: str, payload: bytes, dialect: Dialect.ValueType, wait_s: float) -> Job:
        """Submit and wait up to `wait_s` (0 = the setting, which is also the most) for the job's end.

        Subscribed before it is queued, so the result cannot slip by. Answers the job as it is when the time is over.
        """
        task = await self._task(function_id, payload, dialect)
        async with self._jobs.waiting(task.job.job_id) as waiter:
            await self._accept(task)
            ended = await waiter.wait(min(wait_s or self._wait_s, self._wait_s))
        return ended or await self._as_it_is(task.job)

    async def _as_it_is(self, job: Job) -> Job:
        try:
            return await self._jobs.get(job.job_id)
        except UnavailableError:
            return job  # accepted, and all we know

    async def _task(self, function_id: str, payload: bytes, dialect: Dialect.ValueType) -> Task:
        if not function_id:
            raise InvalidFieldError("function_id", "is missing; it is the id that the upload answered")
        if len(payload) > self._payload_bytes:
            raise TooLargeError("payload", limit=self._payload_bytes, actual=len(payload))
        if payload:
            _require_json(payload)
        function = await self._functions.get(function_id)
        created_at = Timestamp()
        created_at.GetCurrentTime()
        created_at.nanos -= created_at.nanos % 1_000_000  # records keep milliseconds
        job = Job(
            job_id=f"job-{uuid.uuid4()}",
            function_id=function_id,
            owner=context.caller().principal or function.owner,
            state=JobState.JOB_STATE_PENDING,
            dialect=dialect or Dialect.DIALECT_STANDARD,
            runtime=function.runtime,
            memory_mb=function.memory_mb,
            created_at=created_at,
        )
        return Task(job, function, payload or b"{}")

    async def _accept(self, task: Task) -> None:
        message = encode(task)
        await self._jobs.create(task.job, message)
        try:
            await self._queue.send(message)
        except UnavailableError:
            # Recorded, so it may not be refused any more: the sweeper sends its message once the queue is back.
            log.warning("recorded without a message", job_id=task.job.job_id)
            return
        self._sent.note(task.job.job_id)


def _require_json(payload: bytes) -> None:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidFieldError("payload", f"is not JSON (UTF-8, no NaN): {error}") from None
