"""Every adapter works with exactly the permissions that docs/aws.md lists for its process, and has no others."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from nanogrid.errors import UnavailableError
from nanogrid.queue import open_queue
from nanogrid.v1.resources_pb2 import ApiKey
from services.artifacts.blobs import open_blobs
from services.artifacts.blobs.s3_upload import PART_BYTES
from services.registry.store import KeyRecord, open_store
from support.aws_resources import created
from support.functions import stored
from support.moto_server import MotoServer

DOCUMENT = Path(__file__).parents[2] / "docs/aws.md"
# What the tests' AWS asks for where AWS itself asks for the action on the left.
ALSO_KNOWN_AS = {
    "dynamodb:PutItem": "dynamodb:TransactWriteItems",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "cloudwatch:PutMetricData": "monitoring:PutMetricData",
}
PROCESSES = ("registry", "artifacts", "invoker", "executor")


def documented(process: str) -> list[str]:
    """The actions in the rows of a process."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {process} |")]
    return re.findall(r"`(\w+:\w+)`", " ".join(row.split("|")[2] for row in rows))


@contextmanager
def acting_as(process: str, aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With the permissions of one process and no others."""
    listed = documented(process)
    actions = [*listed, *(ALSO_KNOWN_AS[action] for action in listed if action in ALSO_KNOWN_AS)]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam = boto3.client("iam")
    iam.create_user(UserName=process)
    iam.put_user_policy(UserName=process, PolicyName="documented", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=process)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    with aws.checking_credentials():
        yield


def client(service: str) -> Any:
    return boto3.session.Session().client(service)  # with the credentials of now: boto3 itself remembers its first


@pytest.fixture
def env(aws: MotoServer) -> dict[str, str]:
    return created(aws.env)


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_has_its_row(process: str) -> None:
    assert documented(process)


async def test_the_registry_needs_no_more(
    env: dict[str, str], aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KeyRecord(ApiKey(key_id="aa", principal="kim"), "d" * 64)
    with acting_as("registry", aws, monkeypatch):
        async with open_store(f"dynamodb://{env['DYNAMODB_TABLE']}") as store:
            function = stored("kim", "hello", 1)
            await store.insert_function(function)
            assert await store.get_function(function.function_id) == function
            assert await store.newest_function("kim", "hello") == function
            assert await store.page_functions("kim", 5, "") == await store.page_functions(None, 5, "")
            await store.delete_function(function.function_id)
            await store.insert_key(key)
            await store.get_key("aa")
            await store.page_keys(5, "")
            await store.revoke_key("aa", 1)
        with pytest.raises(ClientError, match="AccessDenied"):
            client("dynamodb").scan(TableName=env["DYNAMODB_TABLE"])


async def test_artifacts_needs_no_more(env: dict[str, str], aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def large() -> object:
        for _ in range(2):
            yield bytes(PART_BYTES)

    async def broken() -> object:
        yield bytes(PART_BYTES)
        raise RuntimeError

    with acting_as("artifacts", aws, monkeypatch):
        async with open_blobs(f"s3://{env['S3_USER_DATA_BUCKET']}") as store:
            await store.put_new({"a/1": b"1"}, content_type="text/plain")
            await store.put("a/2", large(), content_type="text/plain")
            with pytest.raises(RuntimeError):
                await store.put("a/3", broken(), content_type="text/plain")
            assert await store.read("a/1") == b"1"
            assert (await store.head("a/2")).size_bytes == 2 * PART_BYTES
            assert await store.signed_url("a/1", 60)
            assert [one.key async for one in store.list("a/")] == ["a/1", "a/2"]
            await store.delete("a/1")
            await store.delete_below("a/")
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden"):
            client("s3").delete_bucket(Bucket=env["S3_BUCKET"])
    assert "Uploads" not in client("s3").list_multipart_uploads(Bucket=env["S3_USER_DATA_BUCKET"])


@pytest.mark.parametrize("process", ["invoker", "executor"])
async def test_the_queue_needs_no_more(
    env: dict[str, str], aws: MotoServer, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    with acting_as(process, aws, monkeypatch):
        async with open_queue(f"sqs:{env['SQS_QUEUE_URL']}", "me", 30) as queue:
            for number in range(3):
                await queue.send(b'{"n": %d}' % number)
            first, second, third = [(await queue.receive(1, 1))[0] for _ in range(3)]
            await queue.extend(first)
            await queue.delete(first)
            await queue.release(second, 60)
            await queue.bury(third, "because")
            assert (await queue.depth()).dead == 1
            [letter] = await queue.dead_letters(10)
            assert await queue.redrive([letter.letter_id]) == 1
        with pytest.raises(ClientError, match="AccessDenied"):
            client("sqs").purge_queue(QueueUrl=env["SQS_QUEUE_URL"])


async def test_executors_open_no_bucket_and_no_table(
    env: dict[str, str], aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting_as("executor", aws, monkeypatch):
        async with open_blobs(f"s3://{env['S3_BUCKET']}") as store, open_store("dynamodb://NanoGridFunctions") as table:
            with pytest.raises(UnavailableError, match="refuses the grid's credentials"):
                await store.read("functions/x/code.zip")
            with pytest.raises(UnavailableError, match="refuses the grid's credentials"):
                await table.get_function("x")


def test_executors_may_tell_cloudwatch(aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with acting_as("executor", aws, monkeypatch):
        client("cloudwatch").put_metric_data(
            Namespace="NanoGrid/FunctionRunner", MetricData=[{"MetricName": "PeakMemoryBytes", "Value": 1.0}]
        )
