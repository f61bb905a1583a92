"""What only the store on DynamoDB promises."""

import boto3
import pytest
from structlog.testing import capture_logs

from deploy.aws import tables
from nanogrid.errors import ConflictError, UnavailableError
from nanogrid.v1.resources_pb2 import ApiKey
from services.registry.store import KeyRecord, open_store
from support.aws_resources import made_tables
from support.functions import stored
from support.lossy_proxy import losing_answers
from support.redis_server import free_port


@pytest.fixture
def url(aws):
    return made_tables()


def table(name="NanoGridFunctions"):
    return boto3.resource("dynamodb").Table(name)


async def test_a_function_is_kept_under_the_names_that_other_tools_know(url):
    function = stored("kim", "hello", 1_700_000_000_000_000, timeout_s=20)
    async with open_store(url) as store:
        await store.insert_function(function)

    item = table().get_item(Key={"functionId": function.function_id})["Item"]
    assert {name: item[name] for name in ("functionName", "s3Key", "runtime", "handler", "timeout", "createdAt")} == {
        "functionName": "hello",
        "s3Key": function.s3_key,
        "runtime": "python3.11",
        "handler": "main.handler",
        "timeout": 20,
        "createdAt": "2023-11-14T22:13:20Z",
    }


async def test_a_function_that_was_put_by_hand_can_be_called_by_its_id(url):
    item = {"functionName": "theirs", "s3Key": "a/code.zip", "runtime": "python3.9", "handler": "main.handler"}
    table().put_item(Item=item | {"functionId": "f-1", "timeout": 30, "createdAt": "2024-05-01T00:00:00.5Z"})
    table().put_item(Item=item | {"functionId": "f-2", "createdAt": "yesterday"})

    async with open_store(url) as store:
        first, second = await store.get_function("f-1"), await store.get_function("f-2")

    assert (first.owner, first.function_name, first.s3_key) == ("local", "theirs", "a/code.zip")
    assert (first.runtime, first.handler) == ("python3.9", "main.handler")
    assert (first.timeout_s, second.timeout_s, first.memory_mb) == (30, 300, 512)
    assert first.created_at.ToJsonString() == "2024-05-01T00:00:00.500Z"


async def test_whose_insert_was_done_is_told_so_though_the_answer_was_lost(url, aws, monkeypatch):
    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_store(url) as store:
            await store.insert_function(stored("kim", "hello", 1))


async def test_whose_insert_was_not_done_is_told_so_though_the_answer_was_lost(url, aws, monkeypatch):
    function = stored("kim", "hello", 1)
    async with open_store(url) as store:
        await store.insert_function(function)

    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_store(url) as store:
            with pytest.raises(ConflictError):
                await store.insert_function(stored("eve", "hello", 2, function_id=function.function_id))


async def test_the_keys_table_may_be_another(url):
    list(tables.ensure(boto3.client("dynamodb"), tables.KEYS, "Others"))

    async with open_store("dynamodb://NanoGridFunctions?keys=Others") as store:
        key = KeyRecord(ApiKey(key_id="aa", principal="kim"), "d" * 64)
        await store.insert_key(key)

        assert await store.get_key("aa") == key
    assert table("NanoGridKeys").scan()["Count"] == 0


@pytest.mark.parametrize("wrong", ["dynamodb://", "dynamodb:///T", "dynamodb://T/x", "dynamodb://T?key=K"])
async def test_a_url_that_names_no_tables_is_refused_with_the_cure(aws, wrong):
    with pytest.raises(ValueError, match=r"NANOGRID_REGISTRY_STORE_URL.*dynamodb://NanoGridFunctions"):
        async with open_store(wrong):
            pass


async def test_a_table_that_is_missing_is_an_outage_and_the_cure_is_in_the_log(aws):
    async with open_store("dynamodb://Nowhere") as store:
        with capture_logs() as logs, pytest.raises(UnavailableError, match="does not exist"):
            await store.get_function("f")

    assert "deploy/aws/create.py" in logs[0]["cure"]


async def test_a_server_that_is_gone_is_an_outage_and_says_nothing_of_the_sdk(aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    async with open_store("dynamodb://T") as store:
        with pytest.raises(UnavailableError) as caught:
            await store.get_function("f")

    assert "dynamo" not in str(caught.value).lower()
