"""What every BlobStore promises of blobs one by one; each adapter passes all of it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from nanogrid.errors import InvalidFieldError, NotFoundError
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo, BlobStore, open_blobs
from support.blobs import IMPOSSIBLE, ODD, TEXT, is_there, put, read, streamed
from support.waiting import WATCHDOG_S


@pytest.fixture
async def store(blobs_url: str) -> AsyncIterator[BlobStore]:
    async with open_blobs(blobs_url) as opened:
        yield opened


async def test_what_is_streamed_in_comes_out(store: BlobStore) -> None:
    parts = [os.urandom(CHUNK_BYTES), b"", os.urandom(CHUNK_BYTES + 1), b"end"]

    info = await store.put("a/b.bin", streamed(*parts), content_type="application/x-odd", sha256="ab" * 32)

    assert info == BlobInfo("a/b.bin", 2 * CHUNK_BYTES + 4, "application/x-odd", "ab" * 32)
    assert await store.head("a/b.bin") == info
    assert await read(store, "a/b.bin") == b"".join(parts)


async def test_a_file_is_stored_and_left_where_it_was(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    info = await store.put("a.txt", source, content_type=TEXT, sha256="cd" * 32)
    source.write_bytes(b"changed afterwards")

    assert info == BlobInfo("a.txt", 7, TEXT, "cd" * 32)
    assert await read(store, "a.txt") == b"content"


async def test_pieces_are_at_most_a_chunk(store: BlobStore) -> None:
    await put(store, "big", bytes(3 * CHUNK_BYTES + 5))

    async with store.open("big") as (_, chunks):
        sizes = [len(chunk) async for chunk in chunks]

    assert sum(sizes) == 3 * CHUNK_BYTES + 5
    assert max(sizes) <= CHUNK_BYTES


@pytest.mark.parametrize("first_byte", [1, CHUNK_BYTES, 2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES])
async def test_a_reader_may_begin_anywhere(store: BlobStore, first_byte: int) -> None:
    content = os.urandom(2 * CHUNK_BYTES)
    await put(store, "big", content)

    async with store.open("big", first_byte) as (info, chunks):
        rest = b"".join([chunk async for chunk in chunks])

    assert info.size_bytes == len(content)
    assert rest == content[first_byte:]


async def test_a_version_is_known_by_its_tag_and_its_time(store: BlobStore) -> None:
    began = time.time()
    await put(store, "a", b"one")
    first = await store.head("a")
    async with store.open("a") as (opened, _):
        pass
    await put(store, "a", b"two")
    second = await store.head("a")

    assert first.etag
    assert '"' not in first.etag
    assert opened.etag == first.etag
    assert opened.modified_s == first.modified_s
    assert second.etag != first.etag
    assert began - 2 <= first.modified_s <= second.modified_s <= time.time() + 2


async def test_an_empty_blob_is_there(store: BlobStore) -> None:
    await put(store, "empty", b"")

    assert await read(store, "empty") == b""
    assert (await store.head("empty")).size_bytes == 0


async def test_a_digest_that_was_not_told_is_not_known(store: BlobStore) -> None:
    await store.put("a", streamed(b"1"), content_type=TEXT, sha256="ab" * 32)
    await put(store, "a", b"2")

    assert (await store.head("a")).sha256 == ""


async def test_what_is_not_there_is_not_found(store: BlobStore) -> None:
    await put(store, "folder/a.txt")

    for key in ("a.txt", "folder", "folder/a", "folder/a.txt/b"):
        with pytest.raises(NotFoundError):
            await store.head(key)
        with pytest.raises(NotFoundError):
            await read(store, key)


async def test_a_second_put_replaces_the_first(store: BlobStore) -> None:
    await put(store, "a", b"first, and longer")
    await put(store, "a", b"second")

    assert await read(store, "a") == b"second"


async def test_a_reader_keeps_the_blob_it_opened(store: BlobStore) -> None:
    await put(store, "a", b"old" * CHUNK_BYTES)

    async with store.open("a") as (_, chunks):
        first = await anext(aiter(chunks))
        await put(store, "a", b"new")
        rest = b"".join([chunk async for chunk in chunks])

    assert first + rest == b"old" * CHUNK_BYTES


async def test_a_source_that_fails_leaves_the_old_blob(store: BlobStore) -> None:
    class SourceError(Exception):
        pass

    async def failing() -> AsyncIterator[bytes]:
        yield b"half"
        raise SourceError

    await put(store, "old", b"old")
    for key in ("old", "new"):
        with pytest.raises(SourceError):
            await store.put(key, failing(), content_type=TEXT)

    assert await read(store, "old") == b"old"
    assert not await is_there(store, "new")


async def test_a_cancelled_put_leaves_nothing(store: BlobStore) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"half"
        begun.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put("a", endless(), content_type=TEXT))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert not await is_there(store, "a")


async def test_a_blob_outlives_the_store_object(blobs_url: str) -> None:
    async with open_blobs(blobs_url) as store:
        kept = await store.put("a/b.txt", streamed(b"kept"), content_type=TEXT, sha256="ef" * 32)

    async with open_blobs(blobs_url) as store:
        assert await store.head("a/b.txt") == kept
        assert await read(store, "a/b.txt") == b"kept"


async def test_two_processes_may_share_a_store(blobs_url: str) -> None:
    async with open_blobs(blobs_url) as one, open_blobs(blobs_url) as two:
        await put(one, "a", b"from one")
        await put(two, "b", b"from two")

        assert (await read(two, "a"), await read(one, "b")) == (b"from one", b"from two")


async def test_deleting_is_idempotent(store: BlobStore) -> None:
    await put(store, "a/b/c.txt")
    await put(store, "a/d.txt")

    for _ in range(2):
        await store.delete("a/b/c.txt")

    assert not await is_there(store, "a/b/c.txt")
    assert await is_there(store, "a/d.txt")


async def test_deleting_below_takes_exactly_what_has_the_prefix(store: BlobStore) -> None:
    below = ("outputs/job-1/a.txt", "outputs/job-1/sub/b", "outputs/job-1/v1.0/c")
    beside = ("outputs/job-1", "outputs/job-10/a.txt", "outputs/job-1.txt", "outputs/job-1.5/a")
    for key in (*below, *beside):
        await put(store, key)

    for _ in range(2):
        await store.delete_below("outputs/job-1/")

    assert [await is_there(store, key) for key in below] == [False] * 3
    assert [await is_there(store, key) for key in beside] == [True] * 4


async def test_a_key_may_be_a_folder_of_others_too(store: BlobStore) -> None:
    keys = ("a", "a/b", "a/b/c", "a.b", "a.b/c", "a.b/c.d/e", "a.b/c.d")
    for key in keys:
        await put(store, key, key.encode())

    assert [await read(store, key) for key in keys] == [key.encode() for key in keys]


async def test_odd_keys_are_kept_apart(store: BlobStore) -> None:
    for key in ODD:
        await put(store, key, key.encode())

    assert [await read(store, key) for key in ODD] == [key.encode() for key in ODD]


@pytest.mark.parametrize("key", IMPOSSIBLE, ids=[ascii(key[:10]) for key in IMPOSSIBLE])
async def test_an_impossible_key_is_refused(store: BlobStore, key: str) -> None:
    with pytest.raises(InvalidFieldError, match="key"):
        await put(store, key)
    with pytest.raises(InvalidFieldError):
        await store.head(key)
    with pytest.raises(InvalidFieldError):
        await read(store, key)
    with pytest.raises(InvalidFieldError):
        await store.delete(key)


async def test_many_at_once_do_not_disturb_each_other(store: BlobStore) -> None:
    async def live(number: int) -> None:
        for turn in range(10):
            await put(store, f"shared/{number % 3}/a.txt", b"%d" % turn)
            await store.delete(f"shared/{number % 3}/a.txt")
        await put(store, f"shared/{number}.txt", b"%d" % number)

    await asyncio.gather(*(live(number) for number in range(12)))

    assert [await read(store, f"shared/{n}.txt") for n in range(12)] == [b"%d" % n for n in range(12)]


async def test_a_signed_url_is_made_or_left_to_others(store: BlobStore) -> None:
    await put(store, "outputs/job-1/파일 #1.txt", b"hello")

    url = await store.signed_url("outputs/job-1/파일 #1.txt", 60)

    if url is not None:
        async with httpx.AsyncClient(timeout=WATCHDOG_S) as browser:
            answer = await browser.get(url)
        assert (answer.content, answer.headers["content-type"]) == (b"hello", TEXT)
