"""The order in which jobs end, with every backend that can be down, and every step after which an executor can die."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from nanogrid.jobs import JobFilter, record
from nanogrid.jobs.message import Message, decode, encode
from nanogrid.queue import Depth
from nanogrid.v1.artifacts_pb2 import FinishedRecord
from nanogrid.v1.resources_pb2 import Function, Job, JobState
from services.executor.sandbox import CallError, CallResult, OutputStream
from support.redis_server import RedisServer, redis_server
from support.runner_rig import EMPTY, Rig, open_rig, runner_rig
from support.waiting import WATCHDOG_S, until

rig = runner_rig


def a_task(job_id: str) -> Message:
    job = Job(job_id=job_id, function_id="f", owner="alice", state=JobState.JOB_STATE_PENDING)
    job.created_at.GetCurrentTime()
    function = Function(function_id="f", owner="alice", runtime="python3.11", handler="main.handler", s3_key="k")
    return Message(job, function, b"{}")


def finished(task: Message, result: bytes = b'"earlier"') -> Job:
    job = Job()
    job.CopyFrom(task.job)
    job.state, job.result = JobState.JOB_STATE_SUCCESS, result
    return job


async def test_a_finished_jobs_record_is_kept_durably_before_its_message_goes(rig: Rig) -> None:
    rig.kept.is_down = True
    job_id = await rig.submit()

    job = await rig.ended(job_id)

    assert job.state == JobState.JOB_STATE_SUCCESS
    await until(lambda: job_id in rig.kept.asked)
    assert (await rig.queue.depth()).in_flight == 1
    rig.kept.is_down = False
    await rig.settled(EMPTY)
    assert record.decode(await rig.kept.read_result(job_id)).result == b'"ok"'


async def test_the_answer_does_not_wait_for_artifacts_and_the_place_is_free_again(rig: Rig) -> None:
    rig.kept.is_down = True

    for _ in range(10):  # more than there are places
        await rig.ended(await rig.submit())

    rig.kept.is_down = False
    await rig.settled(EMPTY)
    assert len(set(rig.kept.asked)) == 10


async def test_a_job_whose_files_cannot_be_stored_now_is_not_run_again(rig: Rig) -> None:
    rig.provider.leaves = {"a.txt": b"abc"}
    rig.bundles.no_room = True
    job_id = await rig.submit()
    await until(lambda: rig.bundles.refused)

    rig.bundles.no_room = False
    job = await rig.ended(job_id)

    assert [one.size_bytes for one in job.output_files] == [3]
    assert rig.provider.calls == [job_id]


async def test_records_of_many_jobs_are_kept_in_few_calls(rig: Rig) -> None:
    jobs = [await rig.submit() for _ in range(40)]

    for job_id in jobs:
        await rig.ended(job_id)
    await rig.settled(EMPTY)

    assert sorted(rig.kept.asked) == sorted(jobs)


async def test_a_recorded_job_whose_owner_died_is_completed_without_running(rig: Rig) -> None:
    task = a_task("job-recorded")
    claim = await rig.jobs.claim(task.job, 60)
    await rig.jobs.finish(finished(task), claim.token, record.encode(finished(task)))

    await rig.queue.send(encode(task))  # its message was not deleted
    await rig.settled(EMPTY)

    assert rig.provider.calls == []
    assert record.decode(await rig.kept.read_result("job-recorded")).result == b'"earlier"'


@pytest.mark.parametrize("lease_s", [0.0, None], ids=["claimed and expired", "record lost"])
async def test_a_kept_result_is_recorded_without_running_the_job_again(rig: Rig, lease_s: float | None) -> None:
    task = a_task("job-kept")
    if lease_s is not None:
        await rig.jobs.claim(task.job, lease_s)
    await rig.kept.keep(FinishedRecord(job_id="job-kept", record=record.encode(finished(task))))

    await rig.queue.send(encode(task))
    job = await rig.ended("job-kept")
    await rig.settled(EMPTY)

    assert (job.result, rig.provider.calls) == (b'"earlier"', [])


async def test_the_result_kept_first_wins_over_a_second_run(rig: Rig) -> None:
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()
    earlier = finished(a_task(job_id))
    await rig.kept.keep(FinishedRecord(job_id=job_id, record=record.encode(earlier)))

    rig.provider.gate.set()
    await rig.settled(EMPTY)

    assert (await rig.jobs.get(job_id)).result == b'"earlier"'


async def test_a_record_too_large_for_the_job_store_is_kept_first_and_referred_to(rig: Rig) -> None:
    rig.provider.prints = [(OutputStream.STDOUT, b"x" * 10_000)]

    job = await rig.ended(await rig.submit())

    assert (job.kept_in_artifacts, job.stdout, job.result) == (True, "", b"")
    assert record.decode(await rig.kept.read_result(job.job_id)).stdout == "x" * 10_000
    await rig.settled(EMPTY)


async def test_a_payload_kept_apart_reaches_the_handler_and_goes_with_the_job(rig: Rig) -> None:
    task = a_task("job-apart")
    await rig.kept.keep_payload("job-apart", b'{"large":1}')

    await rig.queue.send(encode(task, payload_elsewhere=True))
    await rig.ended("job-apart")
    await rig.settled(EMPTY)

    assert rig.provider.payloads == [b'{"large":1}']
    assert not await rig.kept.holds_payload("job-apart")


async def test_a_payload_that_is_gone_is_a_fault_of_the_platform(rig: Rig) -> None:
    await rig.queue.send(encode(a_task("job-gone"), payload_elsewhere=True))

    job = await rig.ended("job-gone")

    assert (job.error.type, "payload" in job.error.message) == ("Lost", True)
    await rig.settled(Depth(0, 0, 0, dead=1))


async def test_a_dead_letter_keeps_its_payload_for_another_life(rig: Rig) -> None:
    rig.provider.fails = 3
    await rig.kept.keep_payload("job-dead", b"{}")

    await rig.queue.send(encode(a_task("job-dead"), payload_elsewhere=True))
    await rig.ended("job-dead")
    await rig.settled(Depth(0, 0, 0, dead=1))

    assert await rig.kept.holds_payload("job-dead")


async def test_a_flushed_job_store_is_rebuilt_by_those_who_run_jobs(rig: Rig, redis_url: str) -> None:
    """The queue is flushed with it here: what runs is finished and recorded all the same."""
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()
    async with Redis.from_url(redis_url) as client:
        await client.flushall()

    async def is_rebuilt() -> bool:
        page, _ = await rig.jobs.page(JobFilter(), 10, "")
        return [job.state for job in page] == [JobState.JOB_STATE_PROCESSING]

    await until(is_rebuilt)
    rig.provider.gate.set()

    assert (await rig.ended(job_id)).state == JobState.JOB_STATE_SUCCESS


async def test_while_the_job_store_is_down_the_result_is_kept_and_recorded_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str
) -> None:
    """The queue lives on another server, and goes on."""
    with redis_server(tmp_path_factory.mktemp("jobs")) as store:
        async with open_rig(tmp_path_factory.mktemp("rig"), store.url, redis_url) as rig:
            rig.provider.gate.clear()
            job_id = await rig.submit()
            await rig.provider.calling.wait()
            store.kill()

            rig.provider.gate.set()
            await until(lambda: rig.kept.holds(job_id))
            assert (await rig.queue.depth()).in_flight == 1
            await _restart(store)

            assert (await rig.ended(job_id)).result == b'"ok"'
            await rig.settled(EMPTY)
            assert rig.provider.calls == [job_id]


async def test_while_the_job_store_is_down_no_message_is_taken_round_and_round(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str
) -> None:
    with redis_server(tmp_path_factory.mktemp("jobs")) as store:
        async with open_rig(tmp_path_factory.mktemp("rig"), store.url, redis_url) as rig:
            store.kill()
            await rig.queue.send(encode(a_task("job-waits")))
            await until(lambda: rig.runner._outage)
            await _restart(store)

            assert (await rig.ended("job-waits")).attempt == 1
            await rig.settled(EMPTY)


async def test_a_message_is_held_beyond_the_queues_own_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        async with open_rig(
            tmp_path_factory.mktemp("rig"), server.url, server.url, visibility_s=1.0, hold_s=1.5
        ) as rig:
            rig.provider.gate.clear()
            job_id = await rig.submit()
            await rig.provider.calling.wait()
            await rig.settled(Depth(0, 0, delayed=1, dead=0))  # a copy is in its place
            [letter] = [one async for one in copies(server.url)]
            assert decode(letter).job.job_id == job_id
            held_until = asyncio.get_running_loop().time() + 3  # twice as long as anybody may hold a message
            await until(lambda: asyncio.get_running_loop().time() > held_until)

            rig.provider.gate.set()

            assert (await rig.ended(job_id)).attempt == 1
            await rig.settled(EMPTY)
            assert rig.provider.calls == [job_id]


async def copies(url: str) -> AsyncIterator[bytes]:
    """The bodies of the messages that wait for their delay."""
    async with Redis.from_url(url) as client:
        for member in await client.zrange("queue:delayed", 0, -1):
            yield member.split(b":", 2)[2]


async def _restart(store: RedisServer) -> None:
    await asyncio.to_thread(store.start)


async def published(rig: Rig, redis_url: str, **job: Any) -> dict[str, Any]:
    """What is published of a job on its own channel."""
    rig.provider.gate.clear()
    job_id = await rig.submit(**job)
    async with Redis.from_url(redis_url) as client, client.pubsub() as channel:
        await channel.subscribe(f"result:{job_id}")
        assert await channel.get_message(timeout=WATCHDOG_S) is not None
        rig.provider.gate.set()
        message = await channel.get_message(timeout=WATCHDOG_S)
    return orjson.loads(message["data"])


async def test_the_news_of_a_job_carry_the_words_of_rest_and_urls_while_its_record_has_keys(
    rig: Rig, redis_url: str
) -> None:
    rig.provider.leaves = {"a.txt": b"abc"}

    told = await published(rig, redis_url)

    [file] = (await rig.jobs.get(told["job_id"])).output_files
    assert (told["status"], told["result"], told["exit_code"]) == ("completed", "ok", 0)
    assert told["output_files"] == [f"http://grid.example/{file.key}?signed"]


async def test_the_news_of_a_job_in_the_second_dialect_have_its_words(rig: Rig, redis_url: str) -> None:
    told = await published(rig, redis_url, camel=True)

    assert (told["requestId"], told["status"], told["exitCode"]) == (told["job_id"], "SUCCESS", 0)
    assert told["peakMemoryBytes"] == told["peak_memory_bytes"] > 0


async def test_a_job_that_fails_is_published_as_failed(rig: Rig, redis_url: str) -> None:
    rig.provider.result = CallResult(None, CallError("HandlerError", "no"), 1, 1, 1.0, reusable=True)

    told = await published(rig, redis_url)

    assert (told["status"], told["result"], told["error"]["type"]) == ("failed", None, "HandlerError")


AWKWARD = [b"18446744073709551616", b'{"a":1,"a":2.50}', b'"\\u0041\\/"', b"[" * 500 + b"]" * 500, b"[ 1 ]"]


async def test_payload_and_result_of_a_job_that_is_tried_again_are_not_touched(rig: Rig) -> None:
    rig.provider.fails = 1  # the first try finds no sandbox

    for text in AWKWARD:
        rig.provider.result = replace(rig.provider.result, result=text)
        job = await rig.ended(await rig.submit(text))

        assert (rig.provider.payloads[-1], job.result) == (text, text)

    await rig.settled(EMPTY)
