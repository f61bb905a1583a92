"""The adversarial SQS server: what it does to an unmodified SDK, and that a seed repeats it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.sqs.faults import SqsError
from support.sqs.mischief import Mischief
from support.sqs.shelf import Shelf
from support.sqs_server import client_env, sqs_here, sqs_server
from support.waiting import until

HERE = {"region_name": "ap-northeast-2", "aws_access_key_id": "x", "aws_secret_access_key": "x"}


def client(url: str, attempts: int = 1) -> Any:
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    return boto3.session.Session().client("sqs", endpoint_url=url, config=Config(retries=retries), **HERE)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shelf(clock: Clock, *, hold_s: float = 43200, **chances: float) -> Shelf:
    return Shelf("tasks", Mischief(**chances), hold_s, clock=clock)  # type: ignore[arg-type]  # the seed is an int


def fill(shelf: Shelf, count: int) -> None:
    for number in range(count):
        shelf.put(f"id{number}", str(number), {}, 0)


def drain(shelf: Shelf, visibility_s: float = 30) -> list[str]:
    bodies = []
    while taken := shelf.take(10, visibility_s, waits=True):
        bodies += [one.body for one in taken]
    return bodies


@asynccontextmanager
async def talking(**options: Any) -> AsyncIterator[tuple[Any, str, Any]]:
    """A server, its client, and the URL of a queue."""
    async with sqs_here(**options) as server:
        sqs = await asyncio.to_thread(client, server.url)
        url = (await asyncio.to_thread(sqs.create_queue, QueueName="tasks"))["QueueUrl"]
        yield server, sqs, url
        sqs.close()


def test_a_tame_queue_keeps_its_order_and_hands_out_each_message_once(clock: Clock) -> None:
    queue = shelf(clock)
    fill(queue, 50)

    assert drain(queue) == [str(number) for number in range(50)]
    assert queue.counts == {"waiting": 0, "held": 50}


def test_what_is_not_deleted_in_time_comes_again_and_counts(clock: Clock) -> None:
    queue = shelf(clock)
    fill(queue, 1)

    queue.take(1, 30, waits=False)
    clock.now = 29.9
    assert not queue.take(1, 30, waits=False)
    clock.now = 30
    [again] = queue.take(1, 30, waits=False)

    assert again.receives == 2


def test_a_receipt_is_good_until_the_message_is_received_anew(clock: Clock) -> None:
    queue = shelf(clock)
    fill(queue, 1)
    first = queue.take(1, 30, waits=False)[0].receipt

    queue.change(first, 0)
    with pytest.raises(SqsError, match="in flight"):
        queue.change(first, 10)
    second = queue.take(1, 30, waits=False)[0].receipt
    with pytest.raises(SqsError, match="not available for visibility timeout change"):
        queue.change(first, 10)
    queue.delete(first)
    assert queue.counts["held"] == 1
    queue.delete(second)
    queue.delete(second)
    assert queue.counts.total() == 0
    with pytest.raises(SqsError, match="not a valid receipt handle"):
        queue.delete("made up")


def test_a_hold_ends_however_often_it_is_extended(clock: Clock) -> None:
    queue = shelf(clock, hold_s=100)
    fill(queue, 1)
    receipt = queue.take(1, 30, waits=False)[0].receipt

    for clock.now in (25.0, 50.0, 70.0):
        queue.change(receipt, 30)
    clock.now = 71
    with pytest.raises(SqsError, match=r"Total VisibilityTimeout .* beyond the limit \[100 seconds\]"):
        queue.change(receipt, 30)
    clock.now = 100
    [again] = queue.take(1, 30, waits=False)
    queue.change(again.receipt, 30)


def test_after_its_receives_a_message_moves_to_the_dead_letter_queue(clock: Clock) -> None:
    queue = shelf(clock)
    queue.dead, queue.most_receives = shelf(clock), 2
    fill(queue, 1)

    for _ in range(2):
        queue.change(queue.take(1, 30, waits=False)[0].receipt, 0)
    assert not queue.take(1, 30, waits=False)

    [letter] = queue.dead.take(1, 30, waits=False)
    assert (letter.message_id, letter.receives, queue.counts.total()) == ("id0", 3, 0)


@pytest.mark.parametrize("name", ["duplicates", "reorder", "early_redelivery", "lost_deletes"])
def test_a_seed_repeats_what_happens_and_another_does_otherwise(name: str) -> None:
    def story(seed: int) -> list[Any]:
        clock = Clock()
        queue = shelf(clock, seed=seed, **{name: 0.2})
        fill(queue, 200)
        told: list[Any] = []
        for clock.now in (0.0, 15.0, 40.0):
            while taken := queue.take(10, 30, waits=True):
                told += [one.body for one in taken]
                for one in taken[::2]:
                    queue.delete(one.receipt)
        return [*told, dict(queue.counts), dict(queue.mischief.struck)]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_each_misfortune_strikes_about_as_often_as_told(clock: Clock) -> None:
    queue = shelf(clock, duplicates=0.1, lost_deletes=0.2, early_redelivery=0.3, reorder=0.4)
    fill(queue, 1000)
    clock.now = 5
    taken = []
    while batch := queue.take(10, 30, waits=True):
        taken += batch
    for one in taken:
        queue.delete(one.receipt)

    struck = queue.mischief.struck
    assert len(taken) == 1000 + struck["duplicates"]
    assert len({one.message_id for one in taken}) == 1000
    assert [one.body for one in taken] != sorted((one.body for one in taken), key=int)
    assert queue.counts.total() == struck["lost_deletes"]
    for name, of in {"duplicates": 1000, "lost_deletes": 1100, "early_redelivery": 1100, "reorder": 1100}.items():
        assert struck[name] / of == pytest.approx(getattr(queue.mischief, name), abs=0.05), name
    clock.now = 35
    assert len(drain(queue)) == struck["lost_deletes"]


def test_a_deep_queue_forgets_what_extensions_and_deletions_made_void(clock: Clock) -> None:
    queue = shelf(clock)
    fill(queue, 20_000)
    receipts = [one.receipt for _ in range(600) for one in queue.take(10, 30, waits=False)]
    for clock.now in range(10):
        for receipt in receipts:
            queue.change(receipt, 30)
    for receipt in receipts:
        queue.delete(receipt)

    assert queue.counts.total() == 14_000
    assert len(queue._timed) < 20_000


async def test_an_sdk_sees_bodies_attributes_and_their_checksums() -> None:
    attributes = {
        "reason": {"DataType": "String", "StringValue": "안녕"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    async with talking() as (_, sqs, url):
        ask: dict[str, Any] = {"QueueUrl": url, "MessageBody": "몸", "MessageAttributes": attributes}
        sent = await asyncio.to_thread(sqs.send_message, **ask)
        asked: dict[str, Any] = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
        answer = await asyncio.to_thread(sqs.receive_message, QueueUrl=url, **asked)

    [message] = answer["Messages"]
    assert message["Body"] == "몸"
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"] == hashlib.md5("몸".encode()).hexdigest()
    # As computed by hand from the developer guide's description.
    parts = [b"raw", b"Binary", b"\2", b"\0\1", b"reason", b"String", b"\1", "안녕".encode()]
    told = b"".join(part if part in {b"\1", b"\2"} else len(part).to_bytes(4, "big") + part for part in parts)
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"] == hashlib.md5(told).hexdigest()


async def test_a_long_poll_ends_with_the_message_and_an_abandoned_one_takes_none() -> None:
    async with talking() as (server, sqs, url):
        _, gone = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"QueueUrl": "/tasks", "WaitTimeSeconds": 20}'
        head = b"POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: AmazonSQS.ReceiveMessage\r\ncontent-length: %d\r\n\r\n"
        gone.write(head % len(body) + body)
        await until(lambda: server.cloud.calls["ReceiveMessage"])
        poll = asyncio.create_task(asyncio.to_thread(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20))
        await until(lambda: server.cloud.calls["ReceiveMessage"] == 2)
        gone.close()
        await gone.wait_closed()
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody="late", DelaySeconds=1)

        assert [one["Body"] for one in (await poll)["Messages"]] == ["late"]


@pytest.mark.parametrize(
    ("call", "parameters", "code"),
    [
        ("get_queue_url", {"QueueName": "none"}, "AWS.SimpleQueueService.NonExistentQueue"),
        ("send_message", {"MessageBody": "\uffff"}, "InvalidMessageContents"),
        ("send_message", {"MessageBody": "x" * 1_048_577}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("receive_message", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("delete_message", {"ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"),
        ("delete_message_batch", {"Entries": []}, "AWS.SimpleQueueService.EmptyBatchRequest"),
        (
            "send_message_batch",
            {"Entries": [{"Id": str(n), "MessageBody": "x"} for n in range(11)]},
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        ),
        (
            "send_message_batch",
            {"Entries": [{"Id": str(n), "MessageBody": "x" * 400_000} for n in range(3)]},
            "AWS.SimpleQueueService.BatchRequestTooLong",
        ),
        ("list_queue_tags", {}, "InvalidAction"),
    ],
)
async def test_refusals_reach_the_sdk_under_the_services_own_codes(call: str, parameters: Any, code: str) -> None:
    async with talking() as (_, sqs, url):
        where = {} if "QueueName" in parameters else {"QueueUrl": url}
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(getattr(sqs, call), **where, **parameters)

    assert refused.value.response["Error"]["Code"] == code


async def test_throttled_broken_and_cut_requests_are_what_an_sdk_tries_again() -> None:
    async with talking(throttle=0.2, errors=0.2, cut=0.2, seed=5) as (server, _, url):
        patient = await asyncio.to_thread(client, server.url, 8)
        for number in range(12):
            await asyncio.to_thread(patient.send_message, QueueUrl=url, MessageBody=str(number))
        patient.close()

    cloud = server.cloud
    assert cloud.calls["SendMessage"] > 12
    assert {"throttle", "errors", "cut"} <= cloud.mischief.struck.keys()
    assert cloud.shelves["tasks"].counts["waiting"] >= 12  # an answer that was cut off leaves its message behind


def test_as_a_process_it_is_told_its_misfortunes_and_counts_calls(tmp_path: Path) -> None:
    with sqs_server(tmp_path, seed=3, throttle=1.0, hold_s=60) as server:
        sqs = client(server.url)
        with pytest.raises(ClientError, match="ThrottlingException"):
            sqs.list_queues()
        server.suffer(throttle=0.0)
        url = sqs.create_queue(QueueName="tasks")["QueueUrl"]
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "x"} for n in range(3)])
        counters = server.counters()
        sqs.close()

    assert counters["calls"] == {"ListQueues": 1, "CreateQueue": 1, "SendMessageBatch": 1}
    assert counters["entries"] == {"SendMessageBatch": 3}
    assert counters["struck"] == {"throttle": 1}
    assert client_env(server.url, tmp_path) == server.env
