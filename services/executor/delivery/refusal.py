"""Fails the jobs of messages that can never be run, so that waiting callers learn the reason."""

from nanogrid.errors import NotFoundError
from nanogrid.jobs import ClaimOutcome, JobStore
from nanogrid.jobs.message import MalformedError, decode_refused
from nanogrid.logs import logger
from nanogrid.queue import Delivery, TaskQueue
from nanogrid.timestamps import set_now
from nanogrid.v1.resources_pb2 import Job, JobError, JobState
from services.executor.delivery.by_hand import MessageCompleter
from services.executor.delivery.ending import EndedJob, Ending
from services.executor.delivery.lease import Heartbeat

log = logger()


class Refusal:
    """Records FAILED for a message that cannot be run, and dead-letters it. Safe to use concurrently.

    Methods raise UnavailableError, ReceiptLostError and LeaseLostError.
    """

    def __init__(
        self, completer: MessageCompleter, jobs: JobStore, queue: TaskQueue, heartbeat: Heartbeat, ending: Ending
    ) -> None:
        self._completer = completer
        self._jobs = jobs
        self._queue = queue
        self._heartbeat = heartbeat
        self._ending = ending

    async def refuse(self, delivery: Delivery, error: MalformedError) -> None:
        """Fail the message's job and dead-letter the message. A submitted job with the same id is left alone."""
        job = decode_refused(delivery.body)
        log.warning("message refused", reason=str(error), job_id=job.job_id if job else "")
        if job is None or not await self._is_its_own(job):
            await self._queue.bury(delivery, str(error))
            return
        await self._prepare(job)
        claim = await self._jobs.claim(job, self._heartbeat.pace.lease_s)
        end = EndedJob(delivery, job, payload_kept=False, buried=str(error))
        if claim.outcome is ClaimOutcome.BUSY:
            await self._queue.set_aside(delivery, self._heartbeat.pace.lease_s)
        elif claim.outcome is ClaimOutcome.FINISHED:
            await self._ending.complete(end)
        else:
            job.attempt = claim.attempt
            job.state = JobState.JOB_STATE_FAILED
            job.error.CopyFrom(JobError(type=error.error_type, message=f"its message cannot be run: {error}"))
            set_now(job.ended_at)
            with self._heartbeat.beating(delivery, job, claim.token):
                await self._ending.end(end, claim.token)

    async def _is_its_own(self, job: Job) -> bool:
        """Return whether the id belongs to this message, not to a submitted job that still waits."""
        try:
            known = await self._jobs.get(job.job_id)
        except NotFoundError:
            return True
        return bool(job.owner) or known.attempt > 0 or known.state != JobState.JOB_STATE_PENDING

    async def _prepare(self, job: Job) -> None:
        job.owner = job.owner or await self._completer.owner_of(job.function_id)
        job.state = JobState.JOB_STATE_PENDING
        set_now(job.created_at)
