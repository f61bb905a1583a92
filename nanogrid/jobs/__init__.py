"""The ports of the job store: records, submissions, leases, retired functions and executors, and all of them as one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nanogrid.v1.resources_pb2 import ExecutorInfo, Job, JobState

__all__ = [
    "FINAL_STATES",
    "RECORD_TTL_S",
    "Cancellations",
    "Claim",
    "ClaimOutcome",
    "EarlierCall",
    "ExecutorDirectory",
    "IdempotencyKey",
    "JobFilter",
    "JobRecords",
    "JobStore",
    "LeaseLostError",
    "Leases",
    "Retirements",
    "Submissions",
    "Waiter",
    "open_jobs",
]

FINAL_STATES = frozenset((JobState.JOB_STATE_SUCCESS, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED))
RECORD_TTL_S = 24 * 3600  # a finished job stays readable here this long; unfinished ones never expire
EXECUTOR_TTL_S = 15  # an executor that has not announced itself for this long is gone


class LeaseLostError(Exception):
    """The job has another owner now, or has ended: this owner's word about it is refused."""


class ClaimOutcome(Enum):
    """The outcome of an attempt to own a job."""

    OWNED = "owned"  # it is ours until the lease runs out
    FINISHED = "finished"  # it needs no run; the message may go
    BUSY = "busy"  # another executor's lease is alive


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. `token` fences: it grows with every owner, and only the newest may write.

    `rebuilt` says that there was no record: the job may have been run, and its record lost. `cancelled` is why the job
    is to be ended instead of run, "" where it is to run.
    """

    outcome: ClaimOutcome
    token: int = 0
    attempt: int = 0
    rebuilt: bool = False
    cancelled: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's `Idempotency-Key` for a call: repeating the call under it makes no second job.

    `name` is unique among the keys of all principals. The fingerprint tells another call under the same name.
    """

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """The call first made under a key: its fingerprint, the job it made, and whether it has been answered."""

    fingerprint: str
    job_id: str
    answered: bool


@dataclass(frozen=True, slots=True)
class JobFilter:
    """A filter of jobs. None and "" mean all."""

    owner: str | None = None
    function_id: str = ""
    state: JobState.ValueType = JobState.JOB_STATE_UNSPECIFIED


class Waiter(Protocol):
    """Waits for the end of one job. Entered before the job is created, so no result falls in between."""

    async def wait(self, timeout_s: float) -> Job | None:
        """Return the finished job, or None when the time is over.

        The stored record is asked too, never only the news.
        """


class JobRecords(Protocol):
    """The records of jobs. Every method of every port here raises UnavailableError while the store is down."""

    async def get(self, job_id: str) -> Job:
        """Read a job. `is_damaged` where its record cannot be read. NotFoundError when unknown or expired."""

    async def page(self, where: JobFilter, size: int, page_token: str) -> tuple[list[Job], str]:
        """List jobs newest first, without results and output, and the next page's token ("" on the last).

        A record that cannot be read is listed as `is_damaged`, with the fields that the index has.
        """

    async def finished_record(self, job_id: str) -> bytes | None:
        """Read the record that `finish` or `adopt` stored, or None."""

    def waiting(self, job_id: str) -> AbstractAsyncContextManager[Waiter]:
        """Subscribe to the end of a job. Enter before queueing it."""


class Submissions(Protocol):
    """Jobs on their way from the invoker to the queue. Every step is atomic."""

    async def create(
        self, job: Job, message: bytes, key: IdempotencyKey | None = None, *, function_made_us: int = 0
    ) -> EarlierCall | None:
        """Record a PENDING job and the queue message that will run it. None means that it is recorded now.

        Nothing is recorded when a call was made under the key in the last 24 hours: that call is answered.
        ConflictError if the job exists; NotFoundError if its function is retired. `function_made_us` says which one of
        this id is meant: one that was made later may be called while the earlier one is remembered as retired.
        """

    async def answered(self, key: IdempotencyKey) -> None:
        """Note that the call under the key has been answered."""

    async def withdraw_job(self, job_id: str, message_sha1: str) -> None:
        """Forget a job whose `create` failed, unless an executor may have begun it or a later `create` made it again.

        `message_sha1`, in hex, is of the message it was created with.
        """

    async def sent(self, job_ids: Sequence[str]) -> None:
        """Note that these jobs' messages are on the queue, so that `unsent` does not list them. At least one."""

    async def unsent(self, older_than_s: float, limit: int) -> list[tuple[str, bytes]]:
        """List job ids and messages that were recorded but, as far as known, never queued."""

    async def revive(self, job: Job) -> bool:
        """Make a job that ended PENDING again, all tries ahead. False when it has not ended."""


class Leases(Protocol):
    """Ownership of running jobs: at most one owner at a time, fenced by tokens. Every step is atomic."""

    async def claim(self, job: Job, lease_s: float, *, received_before: bool = False) -> Claim:
        """Try to own the job for `lease_s`.

        `job` carries the fields of the message, and the executor's id and address. It becomes the record where none
        exists. Then, if the message was received before, the job is BUSY for once: its owner may be alive.
        """

    async def renew(self, job: Job, token: int, lease_s: float) -> None:
        """Start the lease anew, and record the job anew where its record was lost. LeaseLostError if not ours."""

    async def hand_back(self, job_id: str, token: int, *, count_try: bool) -> None:
        """Give the job up unfinished: PENDING again, to be claimed by the next receiver of the message.

        `count_try` keeps the try on the count. LeaseLostError as for renew.
        """

    async def finish(self, job: Job, token: int, record: bytes, news: bytes = b"") -> None:
        """Store the record of a final job and publish `news` (empty: the record) on `result:{job_id}`.

        LeaseLostError if not ours.
        """

    async def adopt(self, job: Job, record: bytes, news: bytes = b"") -> None:
        """Store and publish the durable result, over any record there is."""


class Cancellations(Protocol):
    """Jobs that are to end before they are done."""

    async def cancel(self, job_id: str, reason: str) -> bool:
        """End a job that waits CANCELLED, or ask the owner of one that runs to end it so. False when it has ended."""

    async def cancelled(self, job_ids: Sequence[str]) -> Mapping[str, str]:
        """Return why, by id, the owners of these jobs are asked to end them. At least one; others are left out."""


class Retirements(Protocol):
    """Deleted functions with code that waits for their last jobs."""

    async def retire_function(self, function_id: str, made_us: int) -> None:
        """Have `create` refuse jobs of the function that was made at `made_us` (µs since 1970) or earlier."""

    async def retired_jobs(self, limit: int) -> list[str]:
        """List up to `limit` jobs that were unfinished when their function was retired, and are to be cancelled."""

    async def forget_retired_jobs(self, job_ids: Sequence[str]) -> None:
        """Stop listing these jobs, once they are cancelled. At least one."""

    async def retired_and_done(self) -> list[str]:
        """List retired functions without an unfinished job: their code may go."""

    async def forget_retired(self, function_id: str) -> None:
        """Stop listing a function once its code is gone. `create` keeps refusing it."""


class ExecutorDirectory(Protocol):
    """The executors alive."""

    async def announce(self, executor: ExecutorInfo) -> None:
        """Say that an executor is alive, for EXECUTOR_TTL_S."""

    async def withdraw(self, executor_id: str) -> None:
        """Say that an executor is gone."""

    async def executors(self) -> list[ExecutorInfo]:
        """List the executors alive, by id."""


class JobStore(JobRecords, Submissions, Leases, Cancellations, Retirements, ExecutorDirectory, Protocol):
    """All six ports on one backend."""

    async def ping(self) -> None:
        """Write something of no account. UnavailableError when the store does not answer, or takes no writes."""


@asynccontextmanager
async def open_jobs(url: str) -> AsyncIterator[JobStore]:
    """Open the job store behind `url`, a Redis server of 6.2 or newer."""
    from nanogrid.jobs.redis import open_redis_jobs  # noqa: PLC0415 - an adapter loads its SDK on use

    async with open_redis_jobs(url) as jobs:
        yield jobs
