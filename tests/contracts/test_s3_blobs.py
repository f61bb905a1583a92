"""What only the BlobStore on S3 promises."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nanogrid.errors import UnavailableError
from services.artifacts.blobs import CHUNK_BYTES, BlobStore, open_blobs
from services.artifacts.blobs.s3_upload import PART_BYTES
from support.blobs import BUCKET, JSON, TEXT, is_there, keys_below, put, read, s3, streamed
from support.lossy_proxy import losing_answers
from support.moto_server import MotoServer
from support.redis_server import free_port


@pytest.fixture
async def store(bucket: str) -> AsyncIterator[BlobStore]:
    async with open_blobs(bucket) as opened:
        yield opened


async def test_objects_are_encrypted_and_say_what_they_are(store: BlobStore, aws: MotoServer) -> None:
    await store.put("small", streamed(b"1"), content_type=TEXT, sha256="ab" * 32)
    await store.put("large", streamed(bytes(PART_BYTES)), content_type=TEXT, sha256="cd" * 32)
    await store.put_new({"new": b"1"}, content_type=TEXT)

    found = {key: s3(aws).head_object(Bucket=BUCKET, Key=key) for key in ("small", "large", "new")}
    assert {one["ServerSideEncryption"] for one in found.values()} == {"AES256"}
    assert {one["ContentType"] for one in found.values()} == {TEXT}
    assert [found[key]["Metadata"]["sha256"] for key in ("small", "large")] == ["ab" * 32, "cd" * 32]


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 4 * PART_BYTES + 5])
async def test_what_is_large_goes_in_parts(store: BlobStore, aws: MotoServer, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)

    await store.put("file", tmp_path / "source", content_type=TEXT)
    await store.put(
        "stream", streamed(*(content[at : at + 999_999] for at in range(0, size, 999_999))), content_type=TEXT
    )

    assert await read(store, "file") == content
    assert await read(store, "stream") == content
    in_parts = "-" in s3(aws).head_object(Bucket=BUCKET, Key="file")["ETag"]
    assert in_parts == (size >= PART_BYTES)


@pytest.mark.parametrize("pieces", [1, 2, 5])
async def test_an_upload_that_fails_in_a_later_part_leaves_no_parts(
    store: BlobStore, aws: MotoServer, pieces: int
) -> None:
    class SourceError(Exception):
        pass

    async def failing() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield bytes(PART_BYTES)
        raise SourceError

    with pytest.raises(SourceError):
        await store.put("a", failing(), content_type=TEXT)

    assert "Uploads" not in s3(aws).list_multipart_uploads(Bucket=BUCKET)
    assert not await is_there(store, "a")


@pytest.mark.parametrize("turns", [0, 3, 13, 100, 300])
async def test_whenever_it_is_cancelled_an_upload_leaves_no_parts(
    store: BlobStore, aws: MotoServer, turns: int
) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES)
        begun.set()
        while True:
            yield bytes(CHUNK_BYTES)
            await asyncio.sleep(0)

    putting = asyncio.create_task(store.put("a", endless(), content_type=TEXT))
    await begun.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    putting.cancel()
    await asyncio.sleep(0)
    putting.cancel()  # the impatient ask twice
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert "Uploads" not in s3(aws).list_multipart_uploads(Bucket=BUCKET)
    assert not await is_there(store, "a")


async def test_a_part_that_is_refused_leaves_no_parts(store: BlobStore, aws: MotoServer) -> None:
    async def emptied() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES)
        for upload in s3(aws).list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            s3(aws).abort_multipart_upload(Bucket=BUCKET, Key="a", UploadId=upload["UploadId"])
        yield bytes(PART_BYTES)

    with pytest.raises(UnavailableError):
        await store.put("a", emptied(), content_type=TEXT)

    assert not await is_there(store, "a")


async def test_more_than_a_page_is_listed_and_deleted(store: BlobStore) -> None:
    keys = {f"a/{number}" for number in range(1003)}
    await store.put_new(dict.fromkeys([*keys, "b/1"], b""), content_type=JSON)

    assert {one.key async for one in store.list("a/")} == keys
    await store.delete_below("a/")

    assert await keys_below(store, "a/") == []
    assert await is_there(store, "b/1")


async def test_a_bucket_that_is_missing_is_an_outage(aws: MotoServer) -> None:
    async with open_blobs("s3://nowhere") as store:
        with pytest.raises(UnavailableError, match="does not exist"):
            await put(store, "a")
        with pytest.raises(UnavailableError):
            await store.read("a")


async def test_without_credentials_the_cure_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    async with open_blobs(bucket) as store:
        for call in (put(store, "a"), store.read("a"), store.signed_url("a", 60)):
            with capture_logs() as logs, pytest.raises(UnavailableError, match="refuses the grid's credentials"):
                await call
            assert "instance role" in logs[0]["cure"]


async def test_wrong_credentials_are_refused_without_being_told(
    bucket: str, aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-ours")

    async with open_blobs(bucket) as store:
        with aws.checking_credentials(), capture_logs() as logs:
            with pytest.raises(UnavailableError, match="refuses the grid's credentials") as told:
                await put(store, "a")
            with pytest.raises(UnavailableError):
                await store.head("a")

    assert "a-secret-of-ours" not in f"{logs}{told.value}"


async def test_a_server_that_is_gone_is_an_outage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    async with open_blobs(bucket) as store:
        with pytest.raises(UnavailableError, match="does not answer"):
            await store.read("a")


async def test_without_a_region_the_cure_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)

    with pytest.raises(ValueError, match="AWS_REGION"):
        async with open_blobs(bucket):
            pass


async def test_who_was_first_knows_it_though_the_answer_was_lost(
    bucket: str, aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_blobs(bucket) as store:
            assert await store.put_new({"a": b"mine"}, content_type=JSON) == {"a"}


async def test_who_was_second_knows_it_though_the_answer_was_lost(
    bucket: str, aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3(aws).put_object(Bucket=BUCKET, Key="a", Body=b"theirs")
    async with losing_answers(aws.port, 1) as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy)
        async with open_blobs(bucket) as store:
            assert await store.put_new({"a": b"mine"}, content_type=JSON) == set()


@pytest.mark.parametrize(
    ("bucket_name", "host"),
    [
        ("nanogrid-user-data-1", "nanogrid-user-data-1.s3.ap-northeast-2.amazonaws.com"),
        ("with.dots", "s3.ap-northeast-2.amazonaws.com"),
    ],
)
async def test_a_signed_url_names_the_host_it_was_signed_for(
    aws: MotoServer, monkeypatch: pytest.MonkeyPatch, bucket_name: str, host: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    async with open_blobs(f"s3://{bucket_name}") as store:
        url = await store.signed_url("outputs/job-1/a.txt", 60)

    assert url is not None
    assert url.startswith(f"https://{host}/")
    assert "X-Amz-Expires=60&" in url
