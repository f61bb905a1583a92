"""What every KeyStore promises."""

import asyncio

import pytest

from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from nanogrid.v1.resources_pb2 import ApiKey
from services.registry.store import KeyRecord, open_store


@pytest.fixture
async def store(store_url):
    async with open_store(store_url) as opened:
        yield opened


def record(key_id, created_us=1, digest="d" * 64):
    key = ApiKey(key_id=key_id, principal="kim")
    key.created_at.FromMicroseconds(created_us)
    return KeyRecord(key, digest)


async def test_a_key_is_read_back_with_its_digest(store):
    await store.insert_key(record("aa"))

    assert await store.get_key("aa") == record("aa")


async def test_a_key_id_is_taken_only_once_and_the_first_stays(store):
    await store.insert_key(record("aa"))

    with pytest.raises(ConflictError):
        await store.insert_key(record("aa", digest="e" * 64))

    assert (await store.get_key("aa")).digest == "d" * 64


async def test_revoking_marks_the_key_and_keeps_the_first_time(store):
    await store.insert_key(record("aa"))

    await store.revoke_key("aa", 5)
    again = await store.revoke_key("aa", 9)

    assert again.revoked_at.ToMicroseconds() == 5
    assert (await store.get_key("aa")).key == again


async def test_of_many_revoking_at_once_one_sets_the_time(store):
    await store.insert_key(record("aa"))

    revoked = await asyncio.gather(*(store.revoke_key("aa", at_us) for at_us in range(5, 10)))

    assert all(one.HasField("revoked_at") for one in revoked)
    assert (await store.get_key("aa")).key in revoked


async def test_a_revoked_key_is_revoked_in_lists_too(store):
    await store.insert_key(record("aa"))

    await store.revoke_key("aa", 5)

    keys, _ = await store.page_keys(10, "")
    assert [one.HasField("revoked_at") for one in keys] == [True]


@pytest.mark.parametrize("call", ["get", "revoke"])
async def test_a_key_that_never_was_is_not_found(store, call):
    calls = {"get": lambda: store.get_key("zz"), "revoke": lambda: store.revoke_key("zz", 1)}

    with pytest.raises(NotFoundError):
        await calls[call]()


async def test_keys_are_paged_newest_first_each_once(store):
    for number in range(7):
        await store.insert_key(record(f"k{number}", number // 2))

    found, token = [], ""
    while True:
        page, token = await store.page_keys(3, token)
        found += [one.key_id for one in page]
        if not token:
            break

    assert found == [f"k{number}" for number in reversed(range(7))]


async def test_a_token_of_another_make_is_refused(store):
    with pytest.raises(InvalidFieldError, match="page_token"):
        await store.page_keys(3, "nonsense")
