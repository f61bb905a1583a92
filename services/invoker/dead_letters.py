"""Lists, redrives and purges dead letters, and fails the jobs of messages that the queue gave up."""

from collections.abc import Sequence

from nanogrid.artifacts import Artifacts
from nanogrid.errors import InvalidFieldError, NotFoundError
from nanogrid.jobs import FINAL_STATES, ClaimOutcome, JobStore, record
from nanogrid.jobs.message import MalformedError, decode
from nanogrid.logs import logger
from nanogrid.outages import repeat
from nanogrid.queue import DeadLetter, TaskQueue
from nanogrid.v1.artifacts_pb2 import FinishedRecord
from nanogrid.v1.resources_pb2 import Job, JobError, JobState

log = logger()

_AT_ONCE = 100  # letters moved or deleted in one command
_LEASE_S = 30.0  # ample time to record a failure
_MOST = 10_000  # letters read in one round


class DeadLetters:
    """Handles dead letters. Every step is idempotent, so several invokers may work at once."""

    def __init__(self, queue: TaskQueue, jobs: JobStore, artifacts: Artifacts) -> None:
        self._queue = queue
        self._jobs = jobs
        self._artifacts = artifacts
        self._seen: set[str] = set()

    async def page(self, size: int) -> tuple[Sequence[DeadLetter], int]:
        """Return up to `size` letters and the number of all letters."""
        return await self._queue.dead_letters(size), (await self._queue.depth()).dead

    async def redrive(self, letter_ids: Sequence[str], *, everything: bool) -> int:
        """Queue letters again, set their jobs to PENDING and return the number of letters found.

        InvalidFieldError unless exactly one of ids and `everything` is given.
        """
        _require_choice(letter_ids, everything=everything)
        moved = 0
        for letters in await self._chosen(letter_ids):
            for letter in letters:
                await self._revive(letter)
            moved += await self._queue.redrive([letter.letter_id for letter in letters])
        return moved

    async def purge(self, letter_ids: Sequence[str], *, everything: bool) -> int:
        """Delete letters and return the number found.

        InvalidFieldError unless exactly one of ids and `everything` is given.
        """
        _require_choice(letter_ids, everything=everything)
        chosen = await self._chosen(letter_ids)
        return sum([await self._queue.purge([letter.letter_id for letter in letters]) for letters in chosen])

    async def watch(self, every_s: float) -> None:
        """Call `look` every `every_s` seconds for ever. An outage postpones a round."""
        await repeat(self.look, every_s, "dead letters not looked at")

    async def look(self) -> None:
        """Fail the jobs of messages that the queue gave up after too many receives, so that no caller waits in vain."""
        dead = (await self._queue.depth()).dead
        letters = await self._queue.dead_letters(min(dead, _MOST)) if dead else []
        self._seen &= {letter.letter_id for letter in letters}
        for letter in letters:
            if letter.letter_id not in self._seen and (letter.reason or await self._fail(letter)):
                self._seen.add(letter.letter_id)

    async def _chosen(self, letter_ids: Sequence[str]) -> list[list[DeadLetter]]:
        """Return the letters with these ids, or all without ids, in batches of `_AT_ONCE`."""
        dead = await self._queue.dead_letters((await self._queue.depth()).dead + _AT_ONCE)
        wanted = set(letter_ids)
        chosen = [letter for letter in dead if not wanted or letter.letter_id in wanted]
        return [chosen[at : at + _AT_ONCE] for at in range(0, len(chosen), _AT_ONCE)]

    async def _revive(self, letter: DeadLetter) -> None:
        job = job_in(letter)
        if job is None:
            return  # a malformed message has no job and is only queued again
        try:
            known = await self._jobs.get(job.job_id)
        except NotFoundError:
            known = job
        if not known.owner or (known is not job and known.state not in FINAL_STATES):
            return  # without an owner, or still running: queueing the message is enough
        job.owner = known.owner
        await self._artifacts.delete_result(job.job_id)
        await self._jobs.revive(job)
        log.info("revived", job_id=job.job_id)

    async def _fail(self, letter: DeadLetter) -> bool:
        """Fail the letter's job. Return False while another process still holds it."""
        job = job_in(letter)
        if job is None or not job.owner:
            return True
        claim = await self._jobs.claim(job, _LEASE_S)
        if claim.outcome is not ClaimOutcome.OWNED:
            return claim.outcome is ClaimOutcome.FINISHED
        job.state = JobState.JOB_STATE_FAILED
        message = f"the queue gave its message up after {letter.receives} receives"
        job.error.CopyFrom(JobError(type="Lost", message=message))
        job.ended_at.GetCurrentTime()
        encoded = record.encode(job)
        # The durable result comes first: if an executor stored one before it died, that one counts.
        [kept] = await self._artifacts.keep_results([FinishedRecord(job_id=job.job_id, record=encoded)])
        told = kept.earlier or encoded
        await self._jobs.adopt(record.decode(told), told)
        log.error("given up by the queue", job_id=job.job_id)
        return True


def job_in(letter: DeadLetter) -> Job | None:
    """Return the job of a letter, or None for a malformed one."""
    try:
        return decode(letter.body).job
    except MalformedError:
        return None


def _require_choice(letter_ids: Sequence[str], *, everything: bool) -> None:
    if bool(letter_ids) == everything:
        raise InvalidFieldError("letter_ids", "say which letters: their ids, or `all` without ids")
