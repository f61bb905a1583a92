"""The port JobStore: the truth about every job, its lease, and who is waiting for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nanogrid.v1.resources_pb2 import ExecutorInfo, Job, JobState

__all__ = [
    "FINAL_STATES",
    "RECORD_TTL_S",
    "Claim",
    "ClaimOutcome",
    "EarlierCall",
    "IdempotencyKey",
    "JobFilter",
    "JobStore",
    "LeaseLostError",
    "Waiter",
    "open_jobs",
]

FINAL_STATES = frozenset((JobState.JOB_STATE_SUCCESS, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED))
RECORD_TTL_S = 24 * 3600  # a finished job stays readable here this long; unfinished ones never expire
EXECUTOR_TTL_S = 15  # an executor that has not announced itself for this long is gone


class LeaseLostError(Exception):
    """Somebody else owns the job now, or it is finished: what this owner has to say about it is refused."""


class ClaimOutcome(Enum):
    """What became of an attempt to own a job."""

    OWNED = "owned"  # it is ours until the lease runs out
    FINISHED = "finished"  # it needs no run; the message may go
    BUSY = "busy"  # another executor's lease is alive


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. `token` fences: it grows with every owner, and only the newest may write.

    `rebuilt` says that there was no record: the job may have been run, and its record lost.
    """

    outcome: ClaimOutcome
    token: int = 0
    attempt: int = 0
    rebuilt: bool = False


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A call that its caller named (`Idempotency-Key`), so that asking it twice makes one job.

    `name` is unique among the questions of all principals; the fingerprint tells another question under the same name.
    """

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """A question asked before: its fingerprint then, the job it made, and whether its asker had an answer."""

    fingerprint: str
    job_id: str
    answered: bool


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None and "" mean all."""

    owner: str | None = None
    function_id: str = ""
    state: JobState.ValueType = JobState.JOB_STATE_UNSPECIFIED


class Waiter(Protocol):
    """Waits for the end of one job. Entered before the job is created, so no result falls in between."""

    async def wait(self, timeout_s: float) -> Job | None:
        """The finished job, or None when the time is over. The stored record is asked too, never only the news."""


class JobStore(Protocol):
    """Every step is atomic. Every method raises UnavailableError while the store is down."""

    async def create(self, job: Job, message: bytes, question: IdempotencyKey | None = None) -> EarlierCall | None:
        """Record a PENDING job and the queue message that will run it; None when it is recorded now.

        Nothing is recorded when the question was asked in the last 24 hours: what it made then is answered.
        ConflictError if the job exists; NotFoundError if its function is retired.
        """

    async def answered(self, question: IdempotencyKey) -> None:
        """Note that whoever asked it has an answer."""

    async def withdraw_job(self, job_id: str) -> None:
        """Forget a job whose `create` or message failed, unless somebody may have begun it."""

    async def sent(self, job_ids: Sequence[str]) -> None:
        """Note that these jobs' messages are on the queue, so that `unsent` does not list them; at least one."""

    async def unsent(self, older_than_s: float, limit: int) -> list[tuple[str, bytes]]:
        """Job ids and messages recorded but, as far as known, never queued."""

    async def get(self, job_id: str) -> Job:
        """Read a job. NotFoundError when unknown or expired."""

    async def page(self, where: JobFilter, size: int, page_token: str) -> tuple[list[Job], str]:
        """Jobs newest first, without results and output, and the next page's token ("" on the last)."""

    async def claim(self, job: Job, lease_s: float, *, received_before: bool = False) -> Claim:
        """Try to own the job for `lease_s`.

        `job` carries what is known from the message, and the executor's id and address; it becomes the record where
        none exists. Then, if the message was received before, the job is BUSY for once: its owner may be alive.
        """

    async def renew(self, job: Job, token: int, lease_s: float) -> None:
        """Start the lease anew, and record the job anew where its record was lost. LeaseLostError if not ours."""

    async def hand_back(self, job_id: str, token: int, *, count_try: bool) -> None:
        """Give the job up unfinished: PENDING again, to be claimed by whoever gets the message next.

        `count_try` keeps the try on the count. LeaseLostError as for renew.
        """

    async def finish(self, job: Job, token: int, record: bytes) -> None:
        """Record the final job and publish its record on `result:{job_id}`. LeaseLostError if not ours."""

    async def adopt(self, job: Job, record: bytes) -> None:
        """Record and publish what the durable result says, whatever is recorded now."""

    async def finished_record(self, job_id: str) -> bytes | None:
        """What `finish` or `adopt` recorded; None when nothing is."""

    async def revive(self, job: Job) -> bool:
        """Make a job that ended PENDING again, all tries ahead; False when it has not ended."""

    def waiting(self, job_id: str) -> AbstractAsyncContextManager[Waiter]:
        """Subscribe to the end of a job; enter before queueing it."""

    async def retire_function(self, function_id: str) -> None:
        """From now on `create` refuses jobs of this function."""

    async def retired_and_done(self) -> list[str]:
        """Retired functions none of whose jobs is unfinished: their code may go."""

    async def forget_retired(self, function_id: str) -> None:
        """Its code is gone; stop listing it in `retired_and_done`. `create` keeps refusing it."""

    async def announce(self, executor: ExecutorInfo) -> None:
        """Say that an executor is alive, for EXECUTOR_TTL_S."""

    async def withdraw(self, executor_id: str) -> None:
        """Say that an executor is gone."""

    async def executors(self) -> list[ExecutorInfo]:
        """The executors alive, by id."""

    async def ping(self) -> None:
        """UnavailableError when the store does not answer."""


@asynccontextmanager
async def open_jobs(url: str) -> AsyncIterator[JobStore]:
    """Open the job store behind `url`, a Redis server of 6.2 or newer."""
    from nanogrid.jobs.redis import open_redis_jobs  # noqa: PLC0415 - an adapter loads its SDK on use

    async with open_redis_jobs(url) as jobs:
        yield jobs
