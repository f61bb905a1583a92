"""What every BlobStore promises of many blobs at once: those that are new, and those below a prefix."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from nanogrid.errors import InvalidFieldError, NotFoundError
from services.artifacts.blobs import BlobInfo, BlobStore, open_blobs
from support.blobs import IMPOSSIBLE, JSON, ODD, is_there, keys_below, put


@pytest.fixture
async def store(blobs_url: str) -> AsyncIterator[BlobStore]:
    async with open_blobs(blobs_url) as opened:
        yield opened


async def test_new_blobs_are_stored_and_those_taken_left_alone(store: BlobStore) -> None:
    await put(store, "results/b.json", b"older")

    stored = await store.put_new({"results/a.json": b"{}", "results/b.json": b"newer"}, content_type=JSON)

    assert stored == {"results/a.json"}
    assert await store.head("results/a.json") == BlobInfo("results/a.json", 2, JSON)
    assert (await store.read("results/a.json"), await store.read("results/b.json")) == (b"{}", b"older")


async def test_a_new_blob_keeps_its_content_type_whatever_its_name(store: BlobStore) -> None:
    await store.put_new({"a/b": b"{}"}, content_type=JSON)

    assert (await store.head("a/b")).content_type == JSON


async def test_of_several_stores_one_is_the_first(blobs_url: str) -> None:
    keys = [f"results/{number}.json" for number in range(30)]
    async with open_blobs(blobs_url) as one, open_blobs(blobs_url) as two:
        first, second, third = await asyncio.gather(
            one.put_new(dict.fromkeys(keys, b"one"), content_type=JSON),
            two.put_new(dict.fromkeys(keys, b"two"), content_type=JSON),
            two.put_new(dict.fromkeys(reversed(keys), b"three"), content_type=JSON),
        )

        said = dict.fromkeys(first, b"one") | dict.fromkeys(second, b"two") | dict.fromkeys(third, b"three")
        assert len(first) + len(second) + len(third) == len(keys)
        assert {key: await one.read(key) for key in keys} == said


async def test_many_new_blobs_go_at_once(store: BlobStore) -> None:
    blobs = {f"results/{number % 7}/{number}.json": b"%d" % number for number in range(150)}

    assert await store.put_new(blobs, content_type=JSON) == blobs.keys()
    assert await store.put_new(blobs, content_type=JSON) == set()
    assert [await store.read(key) for key in list(blobs)[::10]] == list(blobs.values())[::10]


async def test_no_new_blobs_are_none(store: BlobStore) -> None:
    assert await store.put_new({}, content_type=JSON) == set()


async def test_a_deleted_blob_is_new_again(store: BlobStore) -> None:
    await store.put_new({"a/b.json": b"1"}, content_type=JSON)
    await store.delete("a/b.json")

    assert await store.put_new({"a/b.json": b"2"}, content_type=JSON) == {"a/b.json"}
    assert await store.read("a/b.json") == b"2"


async def test_new_blobs_are_not_lost_to_those_who_prune_folders(store: BlobStore) -> None:
    async def live(number: int) -> None:
        for turn in range(10):
            assert await store.put_new({f"shared/{number}/{turn}": b"x"}, content_type=JSON)
            await store.delete_below(f"shared/{number}/")
        assert await store.put_new({f"shared/{number}": b"%d" % number}, content_type=JSON)

    await asyncio.gather(*(live(number) for number in range(6)))

    assert [await store.read(f"shared/{number}") for number in range(6)] == [b"%d" % n for n in range(6)]


async def test_reading_what_is_not_there_is_not_found(store: BlobStore) -> None:
    await put(store, "folder/a.txt")

    for key in ("a.txt", "folder", "folder/a", "folder/a.txt/b"):
        with pytest.raises(NotFoundError):
            await store.read(key)


async def test_a_list_holds_exactly_what_has_the_prefix(store: BlobStore) -> None:
    below = ("results/a.json", "results/sub/b", "results/v1.0/c", "results/sub", "results/x/y/z.json")
    beside = ("results", "results.json", "results2/a.json", "other/results/a.json")
    for key in (*below, *beside):
        await put(store, key, key.encode())

    found = {one.key: one async for one in store.list("results/")}

    assert sorted(found) == sorted(below)
    assert {key: one.size_bytes for key, one in found.items()} == {key: len(key) for key in below}
    assert await keys_below(store, "results/x/") == ["results/x/y/z.json"]


async def test_a_list_of_nothing_is_empty(store: BlobStore) -> None:
    await put(store, "results.json")

    assert await keys_below(store, "results/") == []


async def test_a_list_says_when_a_blob_was_stored(store: BlobStore) -> None:
    before_s = time.time()
    await put(store, "a/b")

    [found] = [one async for one in store.list("a/")]

    assert before_s - 2 <= found.modified_s <= time.time() + 2  # some stores count whole seconds


async def test_a_list_may_be_left_early(store: BlobStore) -> None:
    await store.put_new({f"a/{number}": b"" for number in range(5)}, content_type=JSON)

    async for one in store.list("a/"):
        await store.delete(one.key)
        break

    assert len(await keys_below(store, "a/")) == 4


async def test_odd_keys_are_listed_as_they_are(store: BlobStore) -> None:
    odd = {f"list/{key}" for key in ODD if len(key.encode()) < 1000} | {f"list/{'가' * 85}/{'나' * 85}"}
    half = sorted(odd)[::2]
    for key in half:
        await put(store, key)
    await store.put_new(dict.fromkeys(odd - set(half), b"x"), content_type=JSON)

    assert await keys_below(store, "list/") == sorted(odd)


@pytest.mark.parametrize("key", IMPOSSIBLE, ids=[ascii(key[:10]) for key in IMPOSSIBLE])
async def test_an_impossible_key_is_refused_by_the_rest_too(store: BlobStore, key: str) -> None:
    with pytest.raises(InvalidFieldError):
        await store.put_new({"fine": b"", key: b""}, content_type=JSON)
    with pytest.raises(InvalidFieldError):
        await store.read(key)
    with pytest.raises(InvalidFieldError):
        await store.signed_url(key, 60)
    with pytest.raises(InvalidFieldError):
        await keys_below(store, f"{key}//")
    assert not await is_there(store, "fine")
