"""What only the BlobStore on Google Cloud Storage promises: streams that outlive broken connections, and its names."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nanogrid.errors import NotFoundError, UnavailableError
from services.artifacts.blobs import CHUNK_BYTES, BlobStore, open_blobs
from services.artifacts.blobs.gs_streams import PART_BYTES
from support.gcs_server import GcsServer, gcs_server

BINARY = "application/octet-stream"
SIZES = (0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 12345)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with gcs_server("box") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def store(server: GcsServer) -> AsyncIterator[BlobStore]:
    async with open_blobs("gs://box") as store:
        yield store


async def streamed(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


async def put(store: BlobStore, key: str, content: bytes) -> None:
    await store.put(key, streamed(content), content_type=BINARY)


async def fetch(store: BlobStore, key: str) -> bytes:
    async with store.open(key) as (_, chunks):
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("size", SIZES)
async def test_streams_of_every_length_go_in_and_out(store: BlobStore, server: GcsServer, size: int) -> None:
    content = os.urandom(size)

    await put(store, "a", content)

    assert server.content("box") == {"a": content}
    assert await fetch(store, "a") == content


async def test_a_large_file_goes_in_by_parts(store: BlobStore, server: GcsServer, tmp_path: Path) -> None:
    content = os.urandom(2 * PART_BYTES + 1)
    (tmp_path / "file").write_bytes(content)

    await store.put("a", tmp_path / "file", content_type=BINARY, sha256="ab" * 32)

    assert server.content("box") == {"a": content}
    assert server.counts["resume"] == 3
    assert (await store.head("a")).sha256 == "ab" * 32


@pytest.mark.parametrize("size", [PART_BYTES + 1, 2 * PART_BYTES])
async def test_a_server_that_takes_only_half_is_sent_the_rest(store: BlobStore, server: GcsServer, size: int) -> None:
    content = os.urandom(size)
    server.short_chunks = True

    await put(store, "a", content)

    assert server.content("box") == {"a": content}


@pytest.mark.parametrize("lost", [1, 2])
async def test_an_upload_goes_on_where_an_answer_was_lost(store: BlobStore, server: GcsServer, lost: int) -> None:
    content = os.urandom(PART_BYTES + 1)
    server.lost_answers = lost  # that of the first part; that of the last one too

    await put(store, "a", content)

    assert server.content("box") == {"a": content}
    assert server.counts["bytes sent twice"] == 0
    assert server.counts["resume"] == 2 + lost  # once for each, it asks what became of it


async def test_a_download_that_breaks_off_is_taken_up_again(store: BlobStore, server: GcsServer) -> None:
    content = os.urandom(5 * CHUNK_BYTES + 3)
    await put(store, "a", content)
    server.cut_downloads = 2

    assert await fetch(store, "a") == content
    assert server.counts["media"] == 3


async def test_a_blob_that_is_replaced_while_its_download_is_broken_off_is_not_mixed(
    store: BlobStore, server: GcsServer
) -> None:
    await put(store, "a", bytes(5 * CHUNK_BYTES))
    server.cut_downloads = 1

    async with store.open("a") as (_, chunks):
        await anext(aiter(chunks))
        await put(store, "a", bytes(5 * CHUNK_BYTES))
        with pytest.raises(UnavailableError, match="404"):
            _ = [chunk async for chunk in chunks]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_large_stream_that_fails_or_is_cancelled_is_abandoned(
    store: BlobStore, server: GcsServer, fails: bool
) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(PART_BYTES // CHUNK_BYTES + 2):
            yield bytes(CHUNK_BYTES)
        begun.set()
        if fails:
            raise KeyError
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put("a", endless(), content_type=BINARY))
    await begun.wait()
    if not fails:
        putting.cancel()
    with pytest.raises(KeyError if fails else asyncio.CancelledError):
        await putting

    assert (server.content("box"), server.sessions) == ({}, {})
    assert (server.counts["resume"], server.counts["abandon"]) == (1, 1)


@pytest.mark.parametrize("size", [3, PART_BYTES + 1])
async def test_the_first_is_told_so_though_the_answer_was_lost(store: BlobStore, server: GcsServer, size: int) -> None:
    server.lost_answers = 1

    assert await store.put_new({"a": b"1" * size}, content_type=BINARY) == {"a"}
    assert await store.put_new({"a": b"2" * size}, content_type=BINARY) == set()

    assert server.content("box") == {"a": b"1" * size}


async def test_it_gets_over_one_answer_in_ten_being_a_fault(store: BlobStore, server: GcsServer) -> None:
    server.flaky = 0.1
    blobs = {f"results/{n}.json": b"%d" % n for n in range(100)}

    stored = await store.put_new(blobs, content_type="application/json")
    read = [await store.read(key) for key in blobs]
    listed = {one.key async for one in store.list("results/")}

    assert (stored, read, listed) == (set(blobs), list(blobs.values()), set(blobs))
    assert server.counts["upload"] > 100


async def test_it_opens_and_says_so_while_google_is_not_there(server: GcsServer) -> None:
    server.stop()

    async with open_blobs("gs://box") as store:
        with pytest.raises(UnavailableError, match="Google Cloud Storage"):
            await store.read("a")
        server.start()
        await put(store, "a", b"x")

    assert server.content("box") == {"a": b"x"}


async def test_a_fault_says_what_but_no_address(store: BlobStore, server: GcsServer) -> None:
    server.down = True

    with pytest.raises(UnavailableError, match="status 503") as refused:
        await put(store, "a", b"x")

    assert not re.search("upload_id|http", refused.value.message)


async def test_a_bucket_that_does_not_exist_is_not_a_blob_that_does_not(server: GcsServer) -> None:
    async with open_blobs("gs://other") as store:
        for call in (put(store, "a", b"x"), store.head("a"), store.read("a"), fetch(store, "a"), store.delete("a")):
            with pytest.raises(UnavailableError, match="bucket"):
                await call


async def test_line_breaks_are_written_out_in_names(store: BlobStore, server: GcsServer) -> None:
    keys = ["a\nb/c", "a␛nb/c", "a\r␛␛/n"]
    for key in keys:
        await put(store, key, key.encode())

    assert [await fetch(store, key) for key in keys] == [key.encode() for key in keys]
    assert [one.key async for one in store.list("a\nb/")] == ["a\nb/c"]
    assert not any("\n" in name or "\r" in name for name in server.content("box"))


async def test_bytes_that_came_damaged_are_not_taken_for_the_blob(store: BlobStore, server: GcsServer) -> None:
    await put(store, "a", bytes(CHUNK_BYTES + 1))
    server.damaged_downloads = 1

    with pytest.raises(UnavailableError, match="damage"):
        await fetch(store, "a")

    assert await fetch(store, "a") == bytes(CHUNK_BYTES + 1)


async def test_what_was_never_there_is_not_found_among_what_is(store: BlobStore) -> None:
    await put(store, "a", b"x")

    with pytest.raises(NotFoundError, match="b is not there"):
        await store.read("b")
