"""Leases and states under any order of events: executors that claim, pause, die and finish, a store that forgets.

The model knows what every step must answer; after every step the store's record must be what the model says.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis

from nanogrid.errors import NotFoundError
from nanogrid.jobs import FINAL_STATES, ClaimOutcome, JobStore, LeaseLostError, open_jobs, record
from nanogrid.v1.resources_pb2 import Job, JobState
from support.redis_server import RedisServer

PENDING, PROCESSING = JobState.JOB_STATE_PENDING, JobState.JOB_STATE_PROCESSING
LEASE_S = 3600.0  # leases end when the machine says so
JOB_ID = "job-machine"


@dataclass
class Model:
    """What is known of the one job. `newest` is the token of the last owner the store remembers, 0 for none."""

    state: JobState.ValueType | None = None
    newest: int = 0
    lease_lives: bool = False
    attempt: int = 0
    result: bytes = b""
    tokens: list[int] = field(default_factory=list)

    @property
    def forgotten(self) -> bool:
        return self.state is None or (self.state == PENDING and self.newest == 0)

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES


class Leases(RuleBasedStateMachine):
    """One job, any number of executors."""

    owners = Bundle("owners")  # tokens handed out, whoever holds them now

    redis: RedisServer

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.model = Model()
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.client = await self.opened.enter_async_context(Redis.from_url(self.redis.url))
        await self.client.flushall()
        self.jobs = await self.opened.enter_async_context(open_jobs(self.redis.url))

    def teardown(self) -> None:
        self.runner.run(self.opened.aclose())
        self.runner.close()

    @precondition(lambda self: self.model.state is None)
    @rule()
    def create(self) -> None:
        self.do(lambda jobs: jobs.create(a_job(), b"message"))
        self.model.state, self.model.attempt, self.model.newest = PENDING, 0, 0

    @rule(target=owners, received_before=st.booleans())
    def claim(self, received_before: bool) -> int:
        model = self.model
        claim = self.do(lambda jobs: jobs.claim(a_job(), LEASE_S, received_before=received_before))
        if model.final:
            assert claim.outcome is ClaimOutcome.FINISHED
        elif model.state == PROCESSING and model.lease_lives:
            assert claim.outcome is ClaimOutcome.BUSY
        elif model.state is None and received_before:
            assert claim.outcome is ClaimOutcome.BUSY
            model.state, model.newest, model.attempt = PENDING, 0, 0
        else:
            self._owned(claim, rebuilt=model.state is None)
        return claim.token

    def _owned(self, claim: Any, *, rebuilt: bool) -> None:
        model = self.model
        assert (claim.outcome, claim.rebuilt) == (ClaimOutcome.OWNED, rebuilt)
        assert all(claim.token > token for token in model.tokens), "tokens grow, also across a flush"
        model.attempt = 1 if rebuilt else model.attempt + 1
        assert claim.attempt == model.attempt
        model.state, model.newest, model.lease_lives = PROCESSING, claim.token, True
        model.tokens.append(claim.token)

    @rule(token=owners)
    def renew(self, token: int) -> None:
        model = self.model
        may = bool(token) and (model.forgotten or (token == model.newest and model.state == PROCESSING))
        if not token:
            return
        assert self.allowed(lambda jobs: jobs.renew(a_job(attempt=1), token, LEASE_S)) == may
        if may:
            if model.forgotten:
                model.attempt = 1
            model.state, model.newest, model.lease_lives = PROCESSING, token, True

    @rule(token=owners, count_try=st.booleans())
    def hand_back(self, token: int, count_try: bool) -> None:
        model = self.model
        if not token:
            return
        may = model.forgotten or (token == model.newest and model.state == PROCESSING)
        assert self.allowed(lambda jobs: jobs.hand_back(JOB_ID, token, count_try=count_try)) == may
        if may and not model.forgotten:
            model.state, model.lease_lives = PENDING, False
            model.attempt -= not count_try

    @rule(token=owners, number=st.integers(0, 9))
    def finish(self, token: int, number: int) -> None:
        model = self.model
        if not token:
            return
        job = done(number)
        may = model.forgotten or (token == model.newest and (model.state == PROCESSING or model.final))
        assert self.allowed(lambda jobs: jobs.finish(job, token, record.encode(job))) == may
        if may and not model.final:
            model.state, model.result, model.newest = job.state, job.result, token

    @rule(number=st.integers(0, 9))
    def adopt(self, number: int) -> None:
        job = done(number)
        self.do(lambda jobs: jobs.adopt(job, record.encode(job)))
        self.model.state, self.model.result = job.state, job.result

    @rule()
    def revive(self) -> None:
        model = self.model
        revived = self.do(lambda jobs: jobs.revive(a_job()))
        assert revived == (model.final or model.state is None)
        if revived:
            model.newest = 0 if model.state is None else model.newest
            model.state, model.attempt, model.lease_lives = PENDING, 0, False

    @precondition(lambda self: self.model.state == PROCESSING)
    @rule()
    def lease_runs_out(self) -> None:
        self.runner.run(_awaited(self.client.hset(f"job:{JOB_ID}", "lease_until", 0)))
        self.model.lease_lives = False

    @rule()
    def flush(self) -> None:
        self.runner.run(_awaited(self.client.flushall()))
        tokens = self.model.tokens
        self.model = Model(tokens=tokens)

    @invariant()
    def the_record_is_as_the_model_says(self) -> None:
        model = self.model
        found = self.do(_read)
        if model.state is None:
            assert found is None
            return
        assert found is not None
        assert found.state == model.state
        if model.final:
            assert found.result == model.result
        else:
            assert found.attempt == model.attempt

    def do(self, step: Any) -> Any:
        return self.runner.run(_awaited(step(self.jobs)))

    def allowed(self, step: Any) -> bool:
        try:
            self.do(step)
        except LeaseLostError:
            return False
        return True


async def _awaited(step: Any) -> Any:
    return await step


async def _read(jobs: JobStore) -> Job | None:
    try:
        return await jobs.get(JOB_ID)
    except NotFoundError:
        return None


def a_job(**fields: Any) -> Job:
    job = Job(job_id=JOB_ID, function_id="f", owner="alice", state=PENDING, executor_id="e", **fields)
    job.created_at.FromMilliseconds(1_700_000_000_000)
    return job


def done(number: int) -> Job:
    job = a_job()
    job.state, job.result = JobState.JOB_STATE_SUCCESS, b"%d" % number
    return job


def test_no_order_of_events_gives_a_job_two_owners_or_two_results(
    shared_redis: RedisServer, request: pytest.FixtureRequest
) -> None:
    Leases.redis = shared_redis
    machine = Leases.TestCase
    machine.settings = settings(max_examples=60, stateful_step_count=30, suppress_health_check=list(HealthCheck))
    machine("runTest").debug()
