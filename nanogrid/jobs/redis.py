"""JobStore on Redis: a hash a job, Lua for every step that must not be torn."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from nanogrid.errors import ConflictError, NotFoundError
from nanogrid.jobs import (
    EXECUTOR_TTL_S,
    RECORD_TTL_S,
    Claim,
    ClaimOutcome,
    EarlierCall,
    IdempotencyKey,
    LeaseLostError,
    record,
    scripts,
)
from nanogrid.jobs.cancelled import set_cancelled
from nanogrid.jobs.redis_records import STORE, RedisRecords
from nanogrid.jobs.waiting import ResultInbox
from nanogrid.redis.client import Script, SharedConnection, connect, translated
from nanogrid.v1.resources_pb2 import ExecutorInfo, Job

_RETIRED_JOBS = "functions:retired_jobs"
_RETIRED_S = 3600  # longer than any invoker remembers a function
_KEY_S = 24 * 3600  # how long a named key is remembered
_PING_S = 60  # how long a trace of a ping lasts
_FORGOTTEN = 2  # a renewal's answer: there is nothing to renew, say all that is known of the job


@asynccontextmanager
async def open_redis_jobs(url: str) -> AsyncIterator["RedisJobs"]:
    """Connect, and start listening for results."""
    async with connect(url) as client, ResultInbox(client) as news:
        yield RedisJobs(client, news)


class RedisJobs(RedisRecords):
    """See the port for every method's promise."""

    def __init__(self, client: Redis, news: ResultInbox) -> None:
        super().__init__(client, news)
        together = SharedConnection(client)

        def script(text: str) -> Script:
            return Script(client, together, text)

        self._create, self._withdraw = script(scripts.CREATE), script(scripts.WITHDRAW)
        self._claim, self._renew, self._hand_back = map(script, (scripts.CLAIM, scripts.RENEW, scripts.HAND_BACK))
        self._finish, self._cancel, self._revive = map(script, (scripts.FINISH, scripts.CANCEL, scripts.REVIVE))

    async def create(
        self, job: Job, message: bytes, key: IdempotencyKey | None = None, *, function_made_us: int = 0
    ) -> EarlierCall | None:
        inbox = self._news.inbox_for(job.job_id)
        named = [key.name, key.fingerprint, _KEY_S] if key else ["", "", 0]
        args = [*_known(job), record.encode(job), message, inbox, *named, function_made_us]
        outcome, *known = await self._run(self._create, job.job_id, args)
        if outcome == b"retired":
            raise NotFoundError(f"function {job.function_id} is deleted", field="function_id")
        if outcome == b"exists":
            raise ConflictError(f"job {job.job_id} exists already", field="job_id")
        return EarlierCall(known[0].decode(), known[1].decode(), bool(known[2])) if known else None

    async def answered(self, key: IdempotencyKey) -> None:
        async with translated(STORE):
            await self._redis.hset(f"asked:{key.name}", "answered", "1")

    async def withdraw_job(self, job_id: str, message_sha1: str) -> None:
        await self._run(self._withdraw, job_id, [job_id, message_sha1])

    async def sent(self, job_ids: Sequence[str]) -> None:
        async with translated(STORE):
            await self._redis.zrem("jobs:unsent", *job_ids)

    async def unsent(self, older_than_s: float, limit: int) -> list[tuple[str, bytes]]:
        async with translated(STORE):
            seconds, _ = await self._redis.time()
            latest = (seconds - older_than_s) * 1000
            ids = await self._redis.zrange("jobs:unsent", "-inf", latest, byscore=True, offset=0, num=limit)
            found = [(job_id.decode(), await self._redis.hget(f"job:{job_id.decode()}", "message")) for job_id in ids]
            if gone := [job_id for job_id, message in found if message is None]:
                await self._redis.zrem("jobs:unsent", *gone)
        return [(job_id, message) for job_id, message in found if message is not None]

    async def claim(self, job: Job, lease_s: float, *, received_before: bool = False) -> Claim:
        known = _known(job)
        owner = [int(lease_s * 1000), job.executor_id, job.executor_address, "1" if received_before else ""]
        answer = await self._run(self._claim, job.job_id, [*known, "", *owner])
        if answer[0] == b"unknown":  # put on the queue by hand, or Redis was flushed: the message is the record
            answer = await self._run(self._claim, job.job_id, [*known, record.encode(job), *owner])
        outcome, token, attempt, rebuilt, *cancelled = answer
        reason = cancelled[0].decode() if cancelled and cancelled[0] else ""
        return Claim(ClaimOutcome(outcome.decode()), token, attempt, bool(rebuilt), reason)

    async def renew(self, job: Job, token: int, lease_s: float) -> None:
        job_id, *rest = _known(job)
        owner = [job.executor_id, job.executor_address, job.attempt]
        args = [job_id, token, int(lease_s * 1000), *rest]
        answer = await self._run(self._renew, job.job_id, [*args, "", *owner])
        if answer == _FORGOTTEN:
            answer = await self._run(self._renew, job.job_id, [*args, record.encode(job), *owner])
        if not answer:
            raise LeaseLostError(job.job_id)

    async def hand_back(self, job_id: str, token: int, *, count_try: bool) -> None:
        await self._as_owner(self._hand_back, job_id, [job_id, token, 0 if count_try else -1])

    async def finish(self, job: Job, token: int, record: bytes, news: bytes = b"") -> None:
        await self._as_owner(self._finish, job.job_id, _end(job, token, record, news))

    async def adopt(self, job: Job, record: bytes, news: bytes = b"") -> None:
        await self._run(self._finish, job.job_id, _end(job, "", record, news))

    async def revive(self, job: Job) -> bool:
        return bool(await self._run(self._revive, job.job_id, [*_known(job), record.encode(job)]))

    async def retire_function(self, function_id: str, made_us: int) -> None:
        async with translated(STORE), self._redis.pipeline(transaction=True) as pipe:
            pipe.set(f"function:{function_id}:retired", made_us, ex=_RETIRED_S)
            pipe.sadd("functions:retiring", function_id)
            pipe.sunionstore(_RETIRED_JOBS, _RETIRED_JOBS, f"function:{function_id}:unfinished")
            await pipe.execute()

    async def retired_jobs(self, limit: int) -> list[str]:
        async with translated(STORE):
            return [one.decode() for one in await self._redis.srandmember(_RETIRED_JOBS, limit)]

    async def forget_retired_jobs(self, job_ids: Sequence[str]) -> None:
        async with translated(STORE):
            await self._redis.srem(_RETIRED_JOBS, *job_ids)

    async def cancel(self, job_id: str, reason: str) -> bool:
        try:
            job = await self.get(job_id)
        except NotFoundError:
            return False
        set_cancelled(job, reason)
        return bool(await self._run(self._cancel, job_id, [*_end(job, "", record.encode(job), b""), reason]))

    async def cancelled(self, job_ids: Sequence[str]) -> dict[str, str]:
        async with translated(STORE):
            reasons = await self._redis.hmget("jobs:cancelling", job_ids)
        return {one: reason.decode() for one, reason in zip(job_ids, reasons, strict=True) if reason}

    async def retired_and_done(self) -> list[str]:
        async with translated(STORE):
            retiring = [one.decode() for one in await self._redis.smembers("functions:retiring")]
            return [one for one in retiring if not await self._redis.exists(f"function:{one}:unfinished")]

    async def forget_retired(self, function_id: str) -> None:
        async with translated(STORE):
            await self._redis.srem("functions:retiring", function_id)

    async def announce(self, executor: ExecutorInfo) -> None:
        async with translated(STORE), self._redis.pipeline(transaction=True) as pipe:
            pipe.set(f"executor:{executor.executor_id}", executor.SerializeToString(), ex=EXECUTOR_TTL_S)
            pipe.sadd("executors", executor.executor_id)
            await pipe.execute()

    async def withdraw(self, executor_id: str) -> None:
        async with translated(STORE), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(f"executor:{executor_id}")
            pipe.srem("executors", executor_id)
            await pipe.execute()

    async def executors(self) -> list[ExecutorInfo]:
        async with translated(STORE):
            ids = sorted(one.decode() for one in await self._redis.smembers("executors"))
            stored = await self._redis.mget([f"executor:{one}" for one in ids]) if ids else []
            if gone := [one for one, info in zip(ids, stored, strict=True) if info is None]:
                await self._redis.srem("executors", *gone)
        return [ExecutorInfo.FromString(info) for info in stored if info is not None]

    async def ping(self) -> None:
        async with translated(STORE):
            await self._redis.set("nanogrid:ping", 1, ex=_PING_S)

    async def _run(self, script: Script, job_id: str, args: list[Any]) -> Any:
        async with translated(STORE):
            return await script(f"job:{job_id}", args)

    async def _as_owner(self, script: Script, job_id: str, args: list[Any]) -> None:
        if not await self._run(script, job_id, args):
            raise LeaseLostError(job_id)


def _known(job: Job) -> list[Any]:
    """Return the arguments that every script takes which may record a job."""
    return [job.job_id, job.owner, job.function_id, job.created_at.ToMilliseconds()]


def _end(job: Job, token: int | str, encoded: bytes, news: bytes) -> list[Any]:
    job_id, owner, function_id, created = _known(job)
    return [job_id, token, record.state_name(job.state), encoded, RECORD_TTL_S, owner, function_id, created, news]
