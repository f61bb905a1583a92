"""Submits jobs until each is accepted, and records all answers."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.connection import BrokenError, Connection, NotReachedError

ACCEPTED, ANSWERED, REFUSED, UNKNOWN = "accepted", "answered", "refused", "unknown"
AGAIN_S = 0.2
WAIT_S = 120.0  # a client gives a sync call up after this
SUBMIT_S = 15.0
DONE = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Try:
    """One request and its answer. A ticket stands for one job: a retry without a key gets a new one."""

    ticket: str
    sync: bool
    outcome: str
    began: float
    ended: float
    job_id: str = ""
    job: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A load: `jobs` over `over_s` seconds, by `submitters` async and `waiters` sync clients.

    Each job sleeps for a time drawn by `sleep_s`. `files` is the share that leaves an output file, `keyed` the share
    submitted with an Idempotency-Key, so that a retry is the same job.
    """

    jobs: int
    over_s: float
    sleep_s: Callable[[random.Random], float]
    submitters: int = 16
    waiters: int = 0
    files: float = 0.0
    keyed: float = 0.0


class Clients:
    """Clients that share a list of tickets, and submit each when it is due."""

    def __init__(self, gateways: list[str], function_id: str, rng: random.Random, name: str) -> None:
        self._gateways = gateways
        self._function_id = function_id
        self._rng = rng
        self._name = name
        self.tries: list[Try] = []
        self._plans = itertools.count()

    async def run(self, plan: Plan) -> None:
        """Submit until every job of the plan is accepted."""
        began = time.monotonic()
        tickets = iter([(began + plan.over_s * n / plan.jobs, n, self._body(plan)) for n in range(plan.jobs)])
        name = f"{self._name}-{next(self._plans)}"
        crowd = [self._client(name, tickets, number, sync=False) for number in range(plan.submitters)]
        crowd += [self._client(name, tickets, number, sync=True) for number in range(plan.waiters)]
        await asyncio.gather(*crowd)

    def _body(self, plan: Plan) -> dict[str, Any]:
        sleep_s, files, keyed = plan.sleep_s(self._rng), self._rng.random(), self._rng.random()
        return {"sleep_s": round(sleep_s, 4), "file": files < plan.files, "keyed": keyed < plan.keyed}

    async def _client(
        self, name: str, tickets: Iterator[tuple[float, int, dict[str, Any]]], number: int, *, sync: bool
    ) -> None:
        links = itertools.cycle([Connection(address) for address in self._gateways])
        for _ in range(number % len(self._gateways)):
            next(links)
        link = next(links)
        for due, n, body in tickets:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for again in itertools.count():
                ticket = f"{name}-{n}" if body["keyed"] else f"{name}-{n}.{again}"
                said = await self._try(link, ticket, body, sync=sync)
                self.tries.append(said)
                if said.outcome in (ACCEPTED, ANSWERED):
                    break
                await asyncio.sleep(AGAIN_S)
                link = next(links)
        for _ in self._gateways:
            next(links).close()

    async def _try(self, link: Connection, ticket: str, body: dict[str, Any], *, sync: bool) -> Try:
        began = time.time()
        request = {"function_id": self._function_id, "payload": {**body, "ticket": ticket}}
        headers = {} if sync else {"x_async": "true"}
        headers |= {"idempotency_key": ticket} if body["keyed"] else {}
        try:
            answer = await link.ask("POST", "/run", request, timeout_s=WAIT_S if sync else SUBMIT_S, **headers)
        except NotReachedError:
            return Try(ticket, sync, REFUSED, began, time.time())
        except BrokenError:
            return Try(ticket, sync, UNKNOWN, began, time.time())
        return _read(ticket, answer.status, answer.body, sync=sync, began=began)


def _read(ticket: str, status: int, body: Any, *, sync: bool, began: float) -> Try:
    if status == 202:
        return Try(ticket, sync, ACCEPTED, began, time.time(), body["job_id"])
    if status == 200:
        return Try(ticket, sync, ANSWERED, began, time.time(), body["job_id"], body)
    if status == 504 and body["reason"] == "OUTCOME_UNKNOWN":
        return Try(ticket, sync, UNKNOWN, began, time.time())
    assert status in (409, 429, 503), f"the gateway answered {status}: {body}"
    return Try(ticket, sync, REFUSED, began, time.time())


async def endings(gateways: list[str], job_ids: list[str], within_s: float) -> dict[str, Mapping[str, Any]]:
    """Return the final answer of GET /status for each job, or the last one when the time is over."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting = iter(job_ids)
    deadline = time.monotonic() + within_s

    async def look(link: Connection) -> None:
        for job_id in waiting:
            found[job_id] = await _ending(link, job_id, deadline)
        link.close()

    await asyncio.gather(*(look(Connection(address)) for address in gateways for _ in range(8)))
    return found


async def _ending(link: Connection, job_id: str, deadline: float) -> Mapping[str, Any]:
    while True:
        try:
            answer = await link.ask("GET", f"/status/{job_id}", timeout_s=15)
            job: Mapping[str, Any] = answer.body if answer.status == 200 else {"status": f"HTTP {answer.status}"}
        except (BrokenError, NotReachedError) as error:
            job = {"status": repr(error)}
        if job["status"] in DONE or time.monotonic() > deadline:
            return job
        await asyncio.sleep(AGAIN_S)


async def unfinished(gateway: str) -> list[str]:
    """Return the jobs that the grid lists as unfinished."""
    link, found, cursor = Connection(gateway), [], ""
    while cursor is not None:
        answer = await link.ask("GET", f"/jobs?limit=100&cursor={cursor}", timeout_s=30)
        assert answer.status == 200, answer.body
        found += [job["job_id"] for job in answer.body["jobs"] if job["status"] not in DONE]
        cursor = answer.body["next_cursor"]
    link.close()
    return found
