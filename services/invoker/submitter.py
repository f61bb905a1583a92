"""Accepts jobs: records each one first, then queues it, so that an accepted job is never lost."""

import time
import uuid
from dataclasses import dataclass, replace

from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid import caller
from nanogrid.artifacts import Artifacts
from nanogrid.errors import (
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
)
from nanogrid.jobs import FINAL_STATES, EarlierCall, IdempotencyKey, JobStore
from nanogrid.jobs.message import Message, encode
from nanogrid.json_text import JsonError, check_json
from nanogrid.logs import logger
from nanogrid.queue import TaskQueue
from nanogrid.timestamps import set_millis
from nanogrid.v1.resources_pb2 import Dialect, Job, JobState
from services.invoker.functions import Functions
from services.invoker.idempotency import idempotency_key
from services.invoker.results import JobReader
from services.invoker.sent import SentJobs
from services.invoker.store_watch import StoreWatch

log = logger()


@dataclass(frozen=True, slots=True)
class SubmitLimits:
    """Longest wait, largest payload, and largest message, above which the payload is stored apart."""

    wait_s: float
    payload_bytes: int
    message_bytes: int


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function as its caller made it. `payload` is UTF-8 JSON, b"" = {}. `key` may be empty.

    `job_id` is set by services of the grid that may repeat the call after a lost connection.
    """

    function_id: str
    payload: bytes
    dialect: Dialect.ValueType
    key: str
    job_id: str = ""


class Submitter:
    """Submits jobs, and waits for their end where asked to. Safe to use concurrently."""

    def __init__(
        self,
        functions: Functions,
        jobs: JobStore,
        queue: TaskQueue,
        *,
        sent: SentJobs,
        results: JobReader,
        artifacts: Artifacts,
        watch: StoreWatch,
        limits: SubmitLimits,
    ) -> None:
        self._functions = functions
        self._jobs = jobs
        self._queue = queue
        self._sent = sent
        self._results = results
        self._artifacts = artifacts
        self._watch = watch
        self._limits = limits

    async def submit(self, call: FunctionCall) -> Job:
        """Record and queue a job. Return it PENDING, or as it is when an earlier call with the key made it.

        NotFoundError, InvalidFieldError, TooLargeError, UnprocessableError and UnavailableError mean that nothing was
        accepted.
        """
        message = await self._message(call)
        try:
            earlier = await self._accept(message, key := _key_of(message, call), sync=False)
        except ConflictError:
            return await self._accepted_before(message.job, call)
        if earlier is None:
            return message.job
        _require_same(earlier, key)
        return await self._made(earlier)

    async def invoke(self, call: FunctionCall, wait_s: float) -> Job:
        """Submit and wait up to `wait_s` (0 = the setting, which is also the maximum) for the job's end.

        The wait begins before the job is queued, so no result is missed. Returns the job as it is after the wait.
        ConflictError while another call with the same key waits.
        """
        message = await self._message(call)
        async with self._jobs.waiting(message.job.job_id) as waiter:
            try:
                earlier = await self._accept(message, key := _key_of(message, call), sync=True)
            except ConflictError:
                await self._accepted_before(message.job, call)
                earlier = None
            if earlier is not None:
                return await self._answer_repeated(earlier, key)
            ended = await waiter.wait(min(wait_s or self._limits.wait_s, self._limits.wait_s))
        try:
            return await self._results.whole(ended) if ended else await self._as_it_is(message.job, key)
        except UnavailableError:
            return message.job  # it is accepted, and its state is unknown while the store is down

    async def _accepted_before(self, job: Job, call: FunctionCall) -> Job:
        """Return the job that an earlier attempt of this call made. ConflictError when the id is another call's."""
        made = await self._results.get(job.job_id)
        if not call.job_id or (made.owner, made.function_id) != (job.owner, job.function_id):
            raise ConflictError(f"job {job.job_id} is another call's", field="job_id")
        return made

    async def _as_it_is(self, job: Job, key: IdempotencyKey | None) -> Job:
        if key is not None:
            await self._jobs.answered(key)
        try:
            return await self._results.get(job.job_id)
        except NotFoundError:  # the store was flushed: the message will rebuild the record
            return job

    async def _answer_repeated(self, earlier: EarlierCall, key: IdempotencyKey | None) -> Job:
        _require_same(earlier, key)
        job = await self._made(earlier)
        if job.state not in FINAL_STATES and not earlier.answered:
            raise ConflictError(
                f"the first call with this Idempotency-Key still waits for its answer; see job {earlier.job_id}",
                field="idempotency_key",
            )
        return job

    async def _made(self, earlier: EarlierCall) -> Job:
        """Return the job that the earlier call made. UnavailableError when its record was lost, until a retry."""
        try:
            return await self._results.get(earlier.job_id)
        except NotFoundError:
            raise UnavailableError("the job store forgot what this Idempotency-Key made; try again") from None

    async def _message(self, call: FunctionCall) -> Message:
        if not call.function_id:
            raise InvalidFieldError("function_id", "is missing; it is the id that the upload answered")
        if len(call.payload) > self._limits.payload_bytes:
            raise TooLargeError("payload", limit=self._limits.payload_bytes, actual=len(call.payload))
        if not caller.caller().is_service:  # services of the grid have checked the payload already
            _require_json(call.payload)
            _require_no_id(call.job_id)
        function = await self._functions.get(call.function_id)
        created_at = Timestamp()
        set_millis(created_at, time.time_ns() // 1_000_000)  # records hold milliseconds
        job = Job(
            job_id=call.job_id or f"job-{uuid.uuid4()}",
            function_id=call.function_id,
            owner=caller.caller().principal or function.owner,
            state=JobState.JOB_STATE_PENDING,
            dialect=call.dialect or Dialect.DIALECT_STANDARD,
            runtime=function.runtime,
            memory_mb=function.memory_mb,
            s3_key=function.s3_key,
            code_sha256=function.code_sha256,
            created_at=created_at,
        )
        return Message(job, function, call.payload or b"{}", request_id=caller.caller().request_id)

    async def _accept(self, message: Message, key: IdempotencyKey | None, *, sync: bool) -> EarlierCall | None:
        """Record and queue a job. Return the earlier call with the same key, else None."""
        self._watch.require_safe()
        job_id = message.job.job_id
        body = encode(message)
        if len(body) > self._limits.message_bytes:
            await self._artifacts.keep_payload(job_id, message.payload)
            body = encode(message, payload_elsewhere=True)
        try:
            made_us = message.function.created_at.ToMicroseconds()
            earlier = await self._jobs.create(message.job, body, key, function_made_us=made_us)
        except NotFoundError:
            return await self._accept(await self._of_the_newer_function(message), key, sync=sync)
        except UnavailableError:
            if key is None:  # with a key, a repeated call gets this job if it was recorded
                self._sent.doubt(job_id, body)
            raise
        if earlier is not None:
            return earlier
        try:
            await self._queue.send(body, sync=sync)
        except UnavailableError:
            # The job is recorded and must not be refused: the sweeper sends its message once the queue is back.
            log.warning("recorded without a body", job_id=job_id)
        else:
            self._sent.note(job_id)
        return None

    async def _of_the_newer_function(self, message: Message) -> Message:
        """Rebuild the message for a newer function with the retired one's id. NotFoundError when there is none."""
        job, earlier = message.job, message.function
        self._functions.forget(job.function_id)
        function = await self._functions.get(job.function_id)
        if function.created_at == earlier.created_at:
            raise NotFoundError(f"function {job.function_id} is deleted", field="function_id")
        job.runtime, job.memory_mb = function.runtime, function.memory_mb
        job.s3_key, job.code_sha256 = function.s3_key, function.code_sha256
        return replace(message, function=function)


def _key_of(message: Message, call: FunctionCall) -> IdempotencyKey | None:
    return idempotency_key(
        message.job.owner, call.key, function_id=call.function_id, payload=call.payload, dialect=message.job.dialect
    )


def _require_same(earlier: EarlierCall, key: IdempotencyKey | None) -> None:
    if key is None or earlier.fingerprint != key.fingerprint:
        raise UnprocessableError(
            "this Idempotency-Key was used for another call; take a new key for a new call", field="idempotency_key"
        )


def _require_no_id(job_id: str) -> None:
    if job_id:
        raise InvalidFieldError("job_id", "is chosen by the grid; leave it out")


def _require_json(payload: bytes) -> None:
    try:
        check_json(payload or b"{}")
    except JsonError as error:
        raise InvalidFieldError("payload", f"{error}") from None
