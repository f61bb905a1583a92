"""The inbox on which ends of jobs arrive, when its server falls silent or somebody sends it nonsense."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from nanogrid.jobs import record, waiting
from nanogrid.jobs.redis import RedisJobs, open_redis_jobs
from nanogrid.v1.resources_pb2 import Job, JobState
from support.redis_server import RedisServer, redis_server
from support.waiting import WATCHDOG_S, until

ENDED = Job(job_id="job-1", function_id="f", owner="kim", state=JobState.JOB_STATE_SUCCESS, result=b'"done"')


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


async def publish(url: str, channel: str, data: bytes) -> None:
    async with Redis.from_url(url) as client:
        assert await client.publish(channel, data) == 1


def listens(jobs: RedisJobs) -> bool:
    return jobs._news._subscribed.is_set()


async def test_nonsense_in_the_inbox_harms_nobody(server: RedisServer) -> None:
    async with open_redis_jobs(server.url) as jobs, jobs.waiting(ENDED.job_id) as waiter:
        waiting = asyncio.create_task(waiter.wait(WATCHDOG_S))
        for nonsense in (b"", b"[]", b"{}", b"\xff", record.encode(Job(job_id="nobody's", state=ENDED.state))):
            await publish(server.url, jobs._news._inbox, nonsense)

        await publish(server.url, jobs._news._inbox, record.encode(ENDED))

        assert await waiting == ENDED


async def test_a_silent_server_is_left_and_found_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PING_S", 0.05)
    monkeypatch.setattr(waiting, "_SILENCE_S", 0.2)
    async with open_redis_jobs(server.url) as jobs:
        await until(lambda: listens(jobs))
        assert server._process is not None

        server._process.send_signal(signal.SIGSTOP)
        await until(lambda: not listens(jobs))
        server._process.send_signal(signal.SIGCONT)
        await until(lambda: listens(jobs))

        async with jobs.waiting(ENDED.job_id) as waiter:
            await publish(server.url, jobs._news._inbox, record.encode(ENDED))
            assert await waiter.wait(WATCHDOG_S) == ENDED
