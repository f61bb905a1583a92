"""Handles one delivery from the queue: claims its job, runs and ends it, or hands it back."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import structlog

from nanogrid.artifacts import Artifacts
from nanogrid.call_log import log_call
from nanogrid.caller import Caller, set_caller
from nanogrid.errors import (
    ArchiveRejectedError,
    NanoGridError,
    NotFoundError,
    RuntimeNotSupportedError,
    UnavailableError,
)
from nanogrid.jobs import Claim, ClaimOutcome, JobStore, LeaseLostError
from nanogrid.jobs.cancelled import set_cancelled
from nanogrid.jobs.message import MalformedError, Message, decode
from nanogrid.jobs.record import state_name
from nanogrid.logs import logger
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue
from nanogrid.v1.resources_pb2 import ExecutorInfo, JobError, JobState
from services.executor.delivery.by_hand import MessageCompleter
from services.executor.delivery.cancelling import JobCancelledError, RunningJobs
from services.executor.delivery.ending import EndedJob, Ending
from services.executor.delivery.lease import Heartbeat
from services.executor.delivery.places import Place
from services.executor.delivery.refusal import Refusal
from services.executor.delivery.turns import Turns
from services.executor.pool.choices import TRIES, retry_delay_s
from services.executor.run.job import JobRunner
from services.executor.sandbox import CallError, SandboxLostError, SandboxOutageError, SandboxStartError

log = logger()

_OUTAGE_DELAY_S = 2.0  # before a message is received again while a backend is down


class JobOwner:
    """Handles deliveries. Safe to use concurrently. Raises only CancelledError, after it has handed the job back.

    `who` is the executor's announcement, which running jobs name.
    """

    def __init__(
        self,
        work: JobRunner,
        jobs: JobStore,
        queue: TaskQueue,
        who: ExecutorInfo,
        *,
        heartbeat: Heartbeat,
        ending: Ending,
        completer: MessageCompleter,
        running: RunningJobs,
        artifacts: Artifacts,
    ) -> None:
        self._work = work
        self._jobs = jobs
        self._queue = queue
        self._who = who
        self._heartbeat = heartbeat
        self._ending = ending
        self._completer = completer
        self._refusal = Refusal(completer, jobs, queue, heartbeat, ending)
        self._running = running
        self._turns = Turns()
        self._artifacts = artifacts
        self._outage = False  # the job store was down at the last call

    async def ready(self) -> bool:
        """Return whether jobs should be begun now. During an outage a message would only be put back."""
        if self._outage:
            try:
                await self._jobs.ping()
            except UnavailableError:
                return False
            self._outage = False
        return not self._ending.crowded

    def close(self) -> None:
        """Send jobs that wait for their turn back to the queue."""
        self._turns.close()

    async def handle(self, delivery: Delivery, place: Place) -> None:
        """Handle one delivery. A message that cannot be handled now stays on the queue."""
        try:
            message = await self._completer.complete(decode(delivery.body))
        except UnavailableError as error:
            log.warning("left on the queue", error=error.message)
            await self.refuse(delivery, _OUTAGE_DELAY_S)
            return
        except MalformedError as error:
            await self._quietly(delivery, self._refusal.refuse(delivery, error))
            return
        # Bound for the rest of the task, which handles only this delivery.
        structlog.contextvars.bind_contextvars(job_id=message.job.job_id, function_id=message.function.function_id)
        set_caller(Caller(None, internal=True, request_id=message.request_id))
        await self._quietly(delivery, self._own_in_turn(delivery, message, place))

    async def _own_in_turn(self, delivery: Delivery, message: Message, place: Place) -> None:
        """Own the job when its function may have another running; else set its message aside, unclaimed."""
        key, most = message.function.function_id or message.identity, message.function.max_concurrency
        if not most:
            await self._own(delivery, message)
        elif self._turns.begin(key, most) or await self._wait_for_turn(delivery, key, place):
            try:
                await self._own(delivery, message)
            finally:
                self._turns.end(key)
        else:
            await self.refuse(delivery, self._turns.delay_s(key))

    async def _wait_for_turn(self, delivery: Delivery, key: str, place: Place) -> bool:
        place.leave()
        with self._heartbeat.holding(delivery):
            if not await self._turns.wait(key, place.ask_back):
                return False
            try:
                await place.come_back()
            except asyncio.CancelledError:
                self._turns.end(key)
                raise
        return True

    async def _quietly(self, delivery: Delivery, step: Awaitable[None]) -> None:
        """Await a step. Put the message back when a backend is down, and drop it when another executor has it."""
        try:
            await step
        except LeaseLostError:
            log.warning("the job has another owner now; what was run here is dropped")
        except ReceiptLostError:
            log.warning("the message has another receiver now")
        except UnavailableError as error:
            self._outage = True
            log.warning("left on the queue", error=error.message)
            await self.refuse(delivery, _OUTAGE_DELAY_S)

    async def refuse(self, delivery: Delivery, delay_s: float = 0) -> None:
        """Put a message back on the queue, to be received after `delay_s` seconds."""
        try:
            await self._queue.set_aside(delivery, delay_s)
        except (ReceiptLostError, UnavailableError):
            log.info("left on the queue until its visibility runs out")

    async def _own(self, delivery: Delivery, message: Message) -> None:
        message.job.executor_id, message.job.executor_address = self._who.executor_id, self._who.address
        received_before = delivery.receives > 1
        claim = await self._jobs.claim(message.job, self._heartbeat.pace.lease_s, received_before=received_before)
        end = EndedJob(delivery, message.job, message.payload_elsewhere)
        if claim.outcome is ClaimOutcome.FINISHED:
            await self._ending.complete(end)
        elif claim.outcome is ClaimOutcome.BUSY:
            await self._queue.set_aside(delivery, self._heartbeat.pace.lease_s)
        else:
            message.job.attempt = claim.attempt
            doubtful = received_before or claim.rebuilt or claim.attempt > 1
            await self._run_owned(end, message, claim, doubtful=doubtful)

    async def _run_owned(self, end: EndedJob, message: Message, claim: Claim, *, doubtful: bool) -> None:
        job, token = message.job, claim.token
        try:
            with self._heartbeat.beating(end.delivery, job, token):
                if doubtful and await self._ending.found(end):
                    return
                if job.attempt > TRIES and not claim.cancelled:
                    fault: CallError | None = CallError("Lost", "every executor that ran it died")
                else:
                    fault = await self._attempt_or_cancel(message, claim.cancelled)
                if fault is None:
                    await self._ending.end(end, token)
                    _log(message)
                elif job.attempt >= TRIES:
                    await self._give_up(end, token, fault)
        except asyncio.CancelledError:
            await self._hand_back(end.delivery, job.job_id, token, delay_s=0)
            raise
        except UnavailableError as error:
            log.warning("handed back during an outage", reason=error.message)
            await self._hand_back(end.delivery, job.job_id, token, delay_s=_OUTAGE_DELAY_S)
            return
        if fault is not None and job.attempt < TRIES:
            log.warning("try failed, will be tried again", attempt=job.attempt, reason=fault.message)
            await self._jobs.hand_back(job.job_id, token, count_try=True)
            await self._queue.release(end.delivery, retry_delay_s(job.attempt))

    async def _hand_back(self, delivery: Delivery, job_id: str, token: int, *, delay_s: float) -> None:
        """Hand the job to another executor without counting a try."""
        await self._jobs.hand_back(job_id, token, count_try=False)
        await self._queue.set_aside(delivery, delay_s)

    async def _attempt_or_cancel(self, message: Message, cancelled: str) -> CallError | None:
        """Run the job, unless it is or gets cancelled, which ends it like any other outcome."""
        if cancelled:
            set_cancelled(message.job, cancelled)
            return None
        try:
            with self._running.cancellable(message.job.job_id):
                return await self._attempt(message)
        except JobCancelledError as error:
            set_cancelled(message.job, str(error))
        return None

    async def _attempt(self, message: Message) -> CallError | None:
        """Fetch a payload that was stored apart, and run the job. Returns and raises as `_run`."""
        try:
            if message.payload_elsewhere:
                message = replace(message, payload=await self._artifacts.read_payload(message.job.job_id))
        except NotFoundError:
            return CallError("Lost", "its payload, kept apart because of its size, is not there")
        return await self._run(message)

    async def _run(self, message: Message) -> CallError | None:
        """Run the job. Return the platform's fault that prevented it, or None. UnavailableError in an outage."""
        try:
            await self._work.run(message)
        except UnavailableError:
            raise
        except SandboxOutageError as error:
            raise UnavailableError(str(error)) from None
        except Exception as error:  # noqa: BLE001 - a bug here must not make the job go round for ever
            return _fault(error, message.function.s3_key)
        return None

    async def _give_up(self, end: EndedJob, token: int, fault: CallError) -> None:
        job = end.job
        log.error("given up", attempt=job.attempt, reason=fault.message)
        job.state = JobState.JOB_STATE_FAILED
        job.error.CopyFrom(JobError(type=fault.type, message=f"{fault.message} (after {job.attempt} tries)"))
        job.ended_at.GetCurrentTime()
        await self._ending.end(replace(end, buried=fault.message), token)


def _log(message: Message) -> None:
    job = message.job
    log_call(
        "job ended",
        job_id=job.job_id,
        function_id=job.function_id,
        state=state_name(job.state),
        error=job.error.type,
        ms=job.execution_time_ms,
        attempt=job.attempt,
        request_id=message.request_id,
    )


def _fault(error: Exception, s3_key: str) -> CallError:
    """Return the job's error for a fault of the platform."""
    match error:
        case RuntimeNotSupportedError():
            return CallError("RuntimeNotSupported", error.message)
        case SandboxStartError():
            began = "" if isinstance(error, SandboxLostError) else "no sandbox could be started: "
            return CallError("Lost", f"{began}{error}")
        case NotFoundError():
            return CallError("CodeNotFound", f"there is no code at {s3_key}")
        case ArchiveRejectedError():
            return CallError("CodeNotFound", f"the code at {s3_key} cannot be used: {error.message}")
        case NanoGridError():
            return CallError("Lost", f"the platform failed: {error.message}")
    log.error("a try failed unexpectedly", exc_info=error)
    return CallError("Lost", "the executor failed; its log says how")
