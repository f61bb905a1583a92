"""One delivery from the queue: owned, run, recorded, published, acknowledged, in that order."""

import asyncio

import structlog

from nanogrid.errors import ArchiveRejectedError, NanoGridError, NotFoundError, UnavailableError
from nanogrid.jobs import Claim, ClaimOutcome, JobStore, LeaseLostError
from nanogrid.jobs.task import GarbageError, Task, decode
from nanogrid.logs import logger
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue
from nanogrid.v1.resources_pb2 import ExecutorInfo, Job, JobError, JobState
from services.executor.decisions import TRIES, retry_delay_s
from services.executor.heartbeat import Heart
from services.executor.sandbox import CallError, SandboxStartError
from services.executor.work import Work

log = logger()

_OUTAGE_DELAY_S = 2.0  # how long a message is left alone when a backend is down
_STORE_RETRY_S = 1.0  # between tries to record a result while the job store is down


class Runner:
    """Handles deliveries; safe to use concurrently. Never raises but CancelledError, and then hands the job back.

    `who` is this executor: running jobs name it.
    """

    def __init__(self, work: Work, jobs: JobStore, queue: TaskQueue, who: ExecutorInfo, heart: Heart) -> None:
        self._work = work
        self._jobs = jobs
        self._queue = queue
        self._who = who
        self._heart = heart

    async def handle(self, delivery: Delivery) -> None:
        """See the class. What cannot be done now stays on the queue."""
        try:
            task = decode(delivery.body)
        except GarbageError as error:
            log.warning("message is garbage", reason=str(error))
            await self._quietly_bury(delivery, str(error))
            return
        with structlog.contextvars.bound_contextvars(job_id=task.job.job_id, function_id=task.function.function_id):
            try:
                await self._own(delivery, task)
            except (LeaseLostError, ReceiptLostError):
                log.warning("the job is somebody else's now; what was run here is dropped")
            except UnavailableError as error:
                log.warning("left on the queue", error=error.message)

    async def refuse(self, delivery: Delivery) -> None:
        """Put back what came too late to be run here."""
        try:
            await self._queue.release(delivery, 0)
        except (ReceiptLostError, UnavailableError):
            log.info("left on the queue until its visibility runs out")

    async def _own(self, delivery: Delivery, task: Task) -> None:
        task.job.executor_id, task.job.executor_address = self._who.executor_id, self._who.address
        claim = await self._jobs.claim(task.job, self._heart.pace.lease_s)
        if claim.outcome is ClaimOutcome.FINISHED:
            await self._queue.delete(delivery)
        elif claim.outcome is ClaimOutcome.BUSY:
            await self._queue.release(delivery, self._heart.pace.lease_s)
        else:
            task.job.attempt = claim.attempt
            if claim.attempt > TRIES:
                died = CallError("Lost", "every executor that ran it died")
                await self._give_up(delivery, task.job, claim.token, died)
            else:
                await self._run_owned(delivery, task, claim)

    async def _run_owned(self, delivery: Delivery, task: Task, claim: Claim) -> None:
        job_id = task.job.job_id
        try:
            async with self._heart.beating(delivery, job_id, claim.token):
                fault = await self._attempt(task)
                if fault is None:
                    await self._finish(task.job, claim.token)
        except asyncio.CancelledError:
            await self._hand_back(delivery, job_id, claim.token, delay_s=0)
            raise
        except UnavailableError as error:
            log.warning("handed back during an outage", reason=error.message)
            await self._hand_back(delivery, job_id, claim.token, delay_s=_OUTAGE_DELAY_S)
            return
        if fault is None:
            await self._queue.delete(delivery)
        elif claim.attempt < TRIES:
            log.warning("try failed, will be tried again", attempt=claim.attempt, reason=fault.message)
            await self._jobs.hand_back(job_id, claim.token, count_try=True)
            await self._queue.release(delivery, retry_delay_s(claim.attempt))
        else:
            await self._give_up(delivery, task.job, claim.token, fault)

    async def _hand_back(self, delivery: Delivery, job_id: str, token: int, *, delay_s: float) -> None:
        """Give it to whoever is better off; no try of the job's is used up."""
        await self._jobs.hand_back(job_id, token, count_try=False)
        await self._queue.release(delivery, delay_s)

    async def _attempt(self, task: Task) -> CallError | None:
        """Run the job; the fault of the platform that kept it from running, if any. UnavailableError in an outage."""
        try:
            await self._work.run(task)
        except SandboxStartError as error:
            return CallError("Lost", f"no sandbox could be started: {error}")
        except NotFoundError:
            return CallError("CodeNotFound", f"there is no code at {task.function.s3_key}")
        except ArchiveRejectedError as error:
            return CallError("CodeNotFound", f"the code at {task.function.s3_key} cannot be used: {error.message}")
        except UnavailableError:
            raise
        except NanoGridError as error:
            return CallError("Lost", f"the platform failed: {error.message}")
        except Exception:  # a mistake of ours must not make the job go round for ever
            log.exception("a try failed unexpectedly")
            return CallError("Lost", "the executor failed; its log says how")
        return None

    async def _give_up(self, delivery: Delivery, job: Job, token: int, fault: CallError) -> None:
        log.error("given up", attempt=job.attempt, reason=fault.message)
        job.state = JobState.JOB_STATE_FAILED
        job.error.CopyFrom(JobError(type=fault.type, message=f"{fault.message} (after {job.attempt} tries)"))
        job.ended_at.GetCurrentTime()
        await self._finish(job, token)
        await self._queue.bury(delivery, fault.message)

    async def _finish(self, job: Job, token: int) -> None:
        """Record and publish. While the job store is down the result is kept and tried again."""
        while True:
            try:
                return await self._jobs.finish(job, token)
            except UnavailableError:
                log.warning("the result waits for the job store")
                await asyncio.sleep(_STORE_RETRY_S)

    async def _quietly_bury(self, delivery: Delivery, reason: str) -> None:
        try:
            await self._queue.bury(delivery, reason)
        except (ReceiptLostError, UnavailableError):
            log.warning("garbage stays on the queue for now")
