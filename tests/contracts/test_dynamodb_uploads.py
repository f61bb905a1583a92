"""What only uploads on DynamoDB promise."""

from dataclasses import replace

import boto3
import pytest

from deploy.aws import tables
from services.registry.store import NamedUpload, open_store
from support.aws_resources import made_tables
from support.functions import stored
from support.lossy_proxy import losing_answers

NOW = 1_800_000_000_000_000
UPLOAD = NamedUpload("a" * 64, "r-1", NOW + 900_000_000)


@pytest.fixture
def url(aws):
    return made_tables()


def kept():
    table = boto3.resource("dynamodb").Table("NanoGridFunctions")
    return table.get_item(Key={"functionId": f"upload#{UPLOAD.name}"}).get("Item")


async def test_an_upload_expires_by_itself_a_day_after_it_is_free(url):
    async with open_store(url) as store:
        await store.reserve_upload(UPLOAD, NOW)
        while_open = kept()[tables.TTL_ATTRIBUTE]
        function = stored("kim", "hello", 1)
        complete = replace(UPLOAD, free_at_us=NOW + 5_000_000, fingerprint="f", function_id=function.function_id)
        await store.insert_function(function, complete)

    assert (while_open, kept()[tables.TTL_ATTRIBUTE]) == (1_800_000_900 + 86_400, 1_800_000_005 + 86_400)


async def test_an_upload_is_in_no_index(url):
    async with open_store(url) as store:
        await store.reserve_upload(UPLOAD, NOW)

    indexed = {"position"} | set(tables.FUNCTIONS.indices.values())
    assert not indexed & set(kept())


async def test_who_reserved_is_told_so_though_the_answer_was_lost(url, aws, monkeypatch):
    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_store(url) as store:
            assert await store.reserve_upload(UPLOAD, NOW) is None
            assert await store.reserve_upload(replace(UPLOAD, reservation_id="r-2"), NOW) == UPLOAD


async def test_who_released_is_told_so_though_the_answer_was_lost(url, aws, monkeypatch):
    async with open_store(url) as store:
        await store.reserve_upload(UPLOAD, NOW)

    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_store(url) as store:
            assert await store.release_upload(UPLOAD) is None
            assert await store.reserve_upload(replace(UPLOAD, reservation_id="r-2"), NOW) is None
