"""Reading jobs from Redis: one, a page of them, or the end of one as it comes."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.asyncio import Redis

from nanogrid import paging
from nanogrid.errors import NotFoundError
from nanogrid.jobs import JobFilter, Waiter, record
from nanogrid.jobs.waiting import ResultInbox
from nanogrid.logs import logger
from nanogrid.redis.client import translated
from nanogrid.timestamps import set_millis
from nanogrid.v1.resources_pb2 import Job, JobState

log = logger()

STORE = "the job store"
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, the latest a Timestamp knows
_STATES = {record.state_name(state): state for state in JobState.values()}
_SCAN = 200  # index entries looked at for one page; a page may come out shorter than asked


class RedisRecords:
    """See the port for every method's promise."""

    def __init__(self, client: Redis, news: ResultInbox) -> None:
        self._redis: Any = client  # redis-py types every answer as a union of what all protocols and modes give
        self._news = news

    async def get(self, job_id: str) -> Job:
        async with translated(STORE):
            fields = await self._hashes([job_id])
        if not fields[0]:
            raise NotFoundError(f"job {job_id} is unknown, or ended more than 24 hours ago", field="job_id")
        return _job(job_id, fields[0])

    async def page(self, where: JobFilter, size: int, page_token: str) -> tuple[list[Job], str]:
        start = paging.position(page_token, (int, str))
        key = "jobs:all" if where.owner is None else f"jobs:owner:{where.owner}"
        async with translated(STORE):
            entries = await self._entries(key, start)
            hashes = await self._hashes([job_id for job_id, _ in entries])
        found: list[Job] = []
        for seen, fields in enumerate(hashes):
            if len(found) == size or seen == _SCAN:
                job_id, score = entries[seen - 1]
                return found, paging.token([score, job_id])
            if fields and _matches(job := _job(entries[seen][0], fields), where):
                found.append(job)
        return found, ""

    async def _hashes(self, job_ids: Sequence[str]) -> list[dict[bytes, bytes]]:
        """Read each job's hash: {} where there is none, and no record where the key holds another type."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(f"job:{job_id}")
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        for at, answer in enumerate(answers):
            if isinstance(answer, Exception):
                if not str(answer).startswith("WRONGTYPE"):
                    raise answer
                answers[at] = {b"state": b""}
        return answers

    async def _entries(self, key: str, start: Sequence[Any] | None) -> list[tuple[str, int]]:
        """Return ids and creation times after `start`, newest first.

        Those that one page looks at, and one more if there is.
        """
        found: list[tuple[str, int]] = []
        offset, count = 0, _SCAN + 2
        while len(found) <= _SCAN:
            read = await self._redis.zrange(
                key,
                start[0] if start else "+inf",
                "-inf",
                desc=True,
                byscore=True,
                offset=offset,
                num=count,
                withscores=True,
            )
            listed = [(job_id.decode(), int(score)) for job_id, score in read]
            found += [(job_id, at) for job_id, at in listed if not start or (at, job_id) < tuple(start)]
            if len(read) < count:
                break
            offset += count
        return found[: _SCAN + 1]

    async def finished_record(self, job_id: str) -> bytes | None:
        async with translated(STORE):
            found: bytes | None = await self._redis.hget(f"job:{job_id}", "record")
            return found

    def waiting(self, job_id: str) -> AbstractAsyncContextManager[Waiter]:
        return self._news.waiting(job_id, self.get)


def _job(job_id: str, fields: dict[bytes, bytes]) -> Job:
    """Read a job's hash. Where its record cannot be read, take the index fields."""
    try:
        return _recorded(fields)
    except (record.RecordError, KeyError, ValueError) as error:
        log.warning("a job's record cannot be read", job_id=job_id, error=str(error))
        return _damaged(job_id, fields)


def _recorded(fields: dict[bytes, bytes]) -> Job:
    if b"record" in fields:
        return record.decode(fields[b"record"])
    job = record.decode(fields[b"head"])
    job.state = record.state_of(fields[b"state"].decode())
    job.attempt = int(fields.get(b"attempt", 0))
    job.executor_id = fields.get(b"executor_id", b"").decode()
    job.executor_address = fields.get(b"executor_address", b"").decode()
    if job.state == JobState.JOB_STATE_PROCESSING:
        set_millis(job.started_at, int(fields[b"started_at"]))
    return job


def _damaged(job_id: str, fields: dict[bytes, bytes]) -> Job:
    known = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    job = Job(job_id=job_id, is_damaged=True)
    job.owner, job.function_id = known.get("owner", ""), known.get("function_id", "")
    job.state = _STATES.get(known.get("state", ""), JobState.JOB_STATE_UNSPECIFIED)
    if (created_at := known.get("created_at", "")).isdecimal():
        set_millis(job.created_at, min(int(created_at), _LATEST_MS))
    return job


def _matches(job: Job, where: JobFilter) -> bool:
    job.ClearField("result")
    job.ClearField("stdout")
    job.ClearField("stderr")
    if where.function_id and job.function_id != where.function_id:
        return False
    return where.state in (JobState.JOB_STATE_UNSPECIFIED, job.state)
