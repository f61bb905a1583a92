"""Breaks the product on purpose, one promise at a time, to check that an experiment notices."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nanogrid.jobs import record
from nanogrid.jobs.redis import RedisJobs
from nanogrid.queue.redis import RedisQueue
from services.artifacts.results import DurableResults
from services.executor.delivery import owner
from services.executor.delivery.durable import ResultKeeper
from services.executor.delivery.ending import Ending
from services.executor.delivery.lease import Heartbeat
from services.invoker.submitter import Submitter
from services.invoker.unsent import Sweeper

GAP_S = 0.8  # a step out of order is early by this much, enough time for a kill


@dataclass(frozen=True, slots=True)
class Breakage:
    """A way to break the product. `experiment` must find a problem that matches the pattern `symptom`."""

    name: str
    experiment: str
    symptom: str
    commit: Callable[[], None]


def _no_lease() -> None:
    claim = RedisJobs.claim

    async def greedy(self: RedisJobs, job: Any, *args: Any, **kwargs: Any) -> Any:
        if await self._redis.hexists(f"job:{job.job_id}", "lease_until"):
            await self._redis.hset(f"job:{job.job_id}", "lease_until", 0)
        return await claim(self, job, *args, **kwargs)

    _replace(RedisJobs, "claim", greedy)


def _no_fencing() -> None:
    async def shameless(self: RedisJobs, job: Any, token: int, encoded: bytes, news: bytes = b"") -> None:
        await self.adopt(job, encoded, news)

    async def undisturbed(self: RedisJobs, job: Any, token: int, lease_s: float) -> None:
        pass

    _replace(RedisJobs, "finish", shameless)
    _replace(RedisJobs, "renew", undisturbed)


def _publish_before_store() -> None:
    finish = RedisJobs.finish

    async def hasty(self: RedisJobs, job: Any, token: int, encoded: bytes, news: bytes = b"") -> None:
        inbox: Any = await self._redis.hget(f"job:{job.job_id}", "inbox")
        for channel in (f"result:{job.job_id}", inbox or "nowhere"):
            await self._redis.publish(channel, encoded)
        await asyncio.sleep(GAP_S)
        await finish(self, job, token, encoded, news)

    _replace(RedisJobs, "finish", hasty)


def _delete_before_store() -> None:
    end = Ending.end

    async def hasty(self: Ending, what: Any, token: int) -> None:
        await self._queue.delete(what.delivery)
        await asyncio.sleep(GAP_S)
        await end(self, what, token)

    _replace(Ending, "end", hasty)


def _delete_on_receive() -> None:
    receive = RedisQueue.receive

    async def careless(self: RedisQueue, *args: Any, **kwargs: Any) -> Any:
        found = await receive(self, *args, **kwargs)
        for delivery in found:
            await self.delete(delivery)
        return found

    _replace(RedisQueue, "receive", careless)


def _answer_before_recording() -> None:
    accept = Submitter._accept
    behind = set()

    async def promising(self: Submitter, *args: Any, **kwargs: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(GAP_S)
            await accept(self, *args, **kwargs)

        task = asyncio.create_task(later())
        behind.add(task)
        task.add_done_callback(behind.discard)

    _replace(Submitter, "_accept", promising)


def _no_sweeper() -> None:
    async def idle(self: Sweeper) -> None:
        pass

    _replace(Sweeper, "sweep", idle)


def _no_heartbeat() -> None:
    async def silent(self: Heartbeat) -> None:
        await asyncio.Event().wait()

    _replace(Heartbeat, "run", silent)


def _no_durable_result() -> None:
    async def forgetful(self: ResultKeeper, record: Any, *, at_once: bool = False) -> bytes:
        return b""

    _replace(ResultKeeper, "keep", forgetful)


def _last_writer_wins() -> None:
    keep = DurableResults.keep

    async def overwriting(self: DurableResults, records: Any) -> Any:
        for one in records:
            await self.delete(one.job_id)
        return await keep(self, records)

    _replace(DurableResults, "keep", overwriting)


def _waiters_trust_the_news() -> None:
    from nanogrid.jobs import waiting  # noqa: PLC0415 - private, and only needed here

    async def gullible(self: Any) -> Any:
        return self.news

    async def uninformed(self: Submitter, job: Any, *args: Any) -> Any:
        return job

    _replace(waiting._Waiter, "_look", gullible)
    _replace(Submitter, "_as_it_is", uninformed)


def _no_end_of_tries() -> None:
    vars(owner)["TRIES"] = 1_000_000


def _no_dead_letters() -> None:
    async def forgetful(self: RedisQueue, delivery: Any, reason: str) -> None:
        await self.delete(delivery)

    _replace(RedisQueue, "bury", forgetful)


def _no_deletes() -> None:
    async def lazy(self: RedisQueue, delivery: Any) -> None:
        pass

    _replace(RedisQueue, "delete", lazy)


def _results_made_up() -> None:
    finish = RedisJobs.finish

    async def lying(self: RedisJobs, job: Any, token: int, encoded: bytes, news: bytes = b"") -> None:
        told = record.decode(encoded)
        told.result = b'{"nonce":"made up"}'
        await finish(self, told, token, record.encode(told), news)

    _replace(RedisJobs, "finish", lying)


def _replace(owner: type, name: str, method: Any) -> None:
    getattr(owner, name)  # fails if the method was renamed
    setattr(owner, name, method)


BREAKAGES = (
    Breakage("no lease", "duplicates", "ran on", _no_lease),
    Breakage("no fencing", "zombies", "ended in 2 ways", _no_fencing),
    Breakage("published before stored", "executors", "ended in 2 ways", _publish_before_store),
    Breakage("deleted before stored", "executors", "running", _delete_before_store),
    Breakage("deleted on receive", "executors", "running", _delete_on_receive),
    Breakage("answered before recorded", "services", "http 404", _answer_before_recording),
    Breakage("no sweeper", "accepting", "never ran it|pending, 0 runs", _no_sweeper),
    Breakage("no heartbeat", "executors", "ran on", _no_heartbeat),
    Breakage("no durable result", "flush", "http 404", _no_durable_result),
    Breakage("the last durable result wins", "outage", "ended in 2 ways", _last_writer_wins),
    Breakage("waiters trust the news alone", "flush", "its waiter got no result", _waiters_trust_the_news),
    Breakage("no end of tries", "letters", "0 runs", _no_end_of_tries),
    Breakage("no dead letters", "letters", "dead letters", _no_dead_letters),
    Breakage("no deletes", "executors", "still on the queue", _no_deletes),
    Breakage("a result nobody computed", "executors", "is of no run that ended", _results_made_up),
)


def commit(name: str) -> None:
    """Apply a breakage to this process."""
    next(one for one in BREAKAGES if one.name == name).commit()
