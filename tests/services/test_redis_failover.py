"""A primary that became a replica: the grid finds the new one by its address, and loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore, open_jobs
from nanogrid.queue import TaskQueue, open_queue
from nanogrid.redis.client import SharedConnection, connect, translated
from nanogrid.redis.replies import is_demoted, refuses_writes
from support.cut_proxy import CutProxy, cut_proxy
from support.jobs import LEASE_S, a_job, by, done, finish
from support.redis_server import RedisServer, redis_server
from support.waiting import WATCHDOG_S, until, wait_until


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers, the second a replica of the first, and the address that leads to the primary."""

    first: RedisServer
    second: RedisServer
    proxy: CutProxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def fail_over(self) -> None:
        """As a sentinel or a cloud does it: the old primary lives on as a replica, its connections stay open."""
        with Redis.from_url(self.second.url) as second, Redis.from_url(self.first.url) as first:
            wait_until(
                lambda: (
                    second.info("replication")["master_repl_offset"] >= first.info("replication")["master_repl_offset"]
                )
            )
            second.replicaof("NO", "ONE")
            first.replicaof("127.0.0.1", self.second.port)
        self.proxy.upstream = self.second.port


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with redis_server(folders[0]) as first, redis_server(folders[1]) as second, cut_proxy(first.port) as proxy:
        with Redis.from_url(second.url) as replica:
            replica.replicaof("127.0.0.1", first.port)
            wait_until(lambda: replica.info("replication").get("master_link_status") == "up")
        yield Pair(first, second, proxy)


@pytest.fixture
async def jobs(pair: Pair) -> AsyncIterator[JobStore]:
    async with open_jobs(pair.url) as jobs:
        yield jobs


@pytest.fixture
async def queue(pair: Pair) -> AsyncIterator[TaskQueue]:
    async with open_queue(pair.url, "executor") as queue:
        yield queue


async def test_a_job_accepted_before_is_run_and_waited_for_after(pair: Pair, jobs: JobStore, queue: TaskQueue) -> None:
    job = a_job()
    async with jobs.waiting(job.job_id) as waiter:
        await jobs.create(job, b"message")
        await queue.send(b"message")
        pair.fail_over()

        [delivery] = await queue.receive(1, 1)  # found by the first command that is refused, and told to no caller
        claim = await jobs.claim(by("e1", job), LEASE_S)
        await finish(jobs, done(job), claim.token)
        ended = await waiter.wait(WATCHDOG_S)

    assert delivery.body == b"message"
    assert ended is not None
    assert ended.result == b'{"a":1}'


async def received(queue: TaskQueue) -> list[object]:
    found: list[object] = []

    async def look() -> bool:
        try:
            found.extend(await queue.receive(1, 1))
        except UnavailableError:
            return False
        return bool(found)

    await until(look)
    return found


async def test_a_receiver_that_waits_meanwhile_gets_what_is_sent_after(pair: Pair, queue: TaskQueue) -> None:
    receiving = asyncio.create_task(received(queue))
    with Redis.from_url(pair.first.url) as first:
        await until(lambda: first.info("clients")["blocked_clients"] == 1)

    pair.fail_over()
    await queue.send(b"after")

    assert [one.body for one in await receiving] == [b"after"]  # type: ignore[attr-defined]


async def test_writes_of_the_shared_connection_go_on_without_an_error(pair: Pair) -> None:
    async with connect(pair.url) as client:
        shared = SharedConnection(client)
        await shared.run("SET", "a", 1)
        await client.set("b", 1)
        pair.fail_over()

        answers = await asyncio.gather(*(shared.run("INCR", "a") for _ in range(50)))

        assert sorted(answers) == list(range(2, 52))
        assert await client.incr("b") == 2
        with Redis.from_url(pair.second.url) as second:
            assert (second.get("a"), second.get("b")) == (b"51", b"2")


async def test_a_replica_without_a_new_primary_is_an_outage_until_there_is_one(pair: Pair, jobs: JobStore) -> None:
    await jobs.create(a_job(), b"1")
    with Redis.from_url(pair.first.url) as first:
        first.replicaof("127.0.0.1", pair.second.port)  # and the address still leads to it

    with pytest.raises(UnavailableError):
        await jobs.create(a_job(), b"2")
    with pytest.raises(UnavailableError):
        await jobs.ping()

    with Redis.from_url(pair.second.url) as second:
        second.replicaof("NO", "ONE")
    pair.proxy.upstream = pair.second.port
    await jobs.create(a_job(), b"3")
    await jobs.ping()


@pytest.mark.parametrize(
    ("said", "demoted", "refuses"),
    [
        ("READONLY You can't write against a read only replica.", True, True),
        ("ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write", True, True),
        ("MASTERDOWN Link with MASTER is down", True, True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", True, True),
        ("LOADING Redis is loading the dataset in memory", True, True),
        ("OOM command not allowed when used memory > 'maxmemory'.", False, True),
        ("ERR Error running script (call to f_1): @user_script: 1: -OOM command not allowed", False, True),
        ("NOREPLICAS Not enough good replicas to write.", False, True),
        ("ERR unknown command", False, False),
        ("WRONGTYPE Operation against a key holding READONLY", False, False),
    ],
)
def test_replies_are_told_apart(said: str, demoted: bool, refuses: bool) -> None:
    assert (is_demoted(ResponseError(said)), refuses_writes(ResponseError(said))) == (demoted, refuses)


async def test_an_outage_is_told_as_one(pair: Pair) -> None:
    with pytest.raises(UnavailableError, match="does not take writes now"):
        async with translated("the job store"):
            raise ResponseError("READONLY You can't write against a read only replica.")
