"""What every UploadStore promises."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from nanogrid.errors import ConflictError, NotFoundError
from services.registry.store import NamedUpload, open_store
from support.functions import stored

DAY_US = 24 * 3600 * 1_000_000
NOW = 1_800_000_000_000_000


@pytest.fixture
async def store(store_url):
    async with open_store(store_url) as opened:
        yield opened


def reserved(name="a" * 64, free_at_us=NOW + 10):
    return NamedUpload(name, str(uuid.uuid4()), free_at_us)


def made(upload, function, free_at_us=NOW + DAY_US):
    """The upload once it has made the function."""
    return replace(upload, free_at_us=free_at_us, fingerprint="f" * 64, function_id=function.function_id)


async def test_a_name_is_reserved_once_and_who_has_it_is_told(store):
    first, second = reserved(), reserved()

    assert await store.reserve_upload(first, NOW) is None
    assert await store.reserve_upload(second, NOW) == first
    assert await store.reserve_upload(reserved("b" * 64), NOW) is None


async def test_of_many_reserving_one_name_at_once_exactly_one_has_it(store):
    outcomes = await asyncio.gather(*(store.reserve_upload(reserved(), NOW) for _ in range(8)))

    assert outcomes.count(None) == 1
    assert len(set(outcomes)) == 2


async def test_reserving_again_is_no_conflict_with_oneself_and_starts_the_time_anew(store):
    upload = reserved()
    await store.reserve_upload(upload, NOW)

    assert await store.reserve_upload(replace(upload, free_at_us=NOW + 50), NOW + 5) is None

    assert await store.reserve_upload(reserved(), NOW + 20) == replace(upload, free_at_us=NOW + 50)


async def test_a_reservation_that_lapsed_may_be_taken(store):
    first, second = reserved(), reserved(free_at_us=NOW + 99)
    await store.reserve_upload(first, NOW)

    assert await store.reserve_upload(second, NOW + 9) == first
    assert await store.reserve_upload(second, NOW + 10) is None
    assert await store.reserve_upload(first, NOW + 11) == second


async def test_an_upload_is_completed_together_with_its_function(store):
    upload, function = reserved(), stored("kim", "hello", 1)
    await store.reserve_upload(upload, NOW)

    await store.insert_function(function, made(upload, function))

    assert await store.get_function(function.function_id) == function
    assert await store.reserve_upload(reserved(), NOW + 100) == made(upload, function)
    assert await store.reserve_upload(upload, NOW + 100) == made(upload, function)


async def test_what_an_upload_made_is_forgotten_in_time(store):
    upload, function = reserved(), stored("kim", "hello", 1)
    await store.reserve_upload(upload, NOW)
    await store.insert_function(function, made(upload, function))

    assert await store.reserve_upload(reserved(), NOW + DAY_US - 1) is not None
    assert await store.reserve_upload(reserved(free_at_us=NOW + DAY_US + 10), NOW + DAY_US) is None
    assert await store.get_function(function.function_id) == function


async def test_a_reservation_that_lapsed_can_be_completed_as_long_as_nobody_took_it(store):
    upload, function = reserved(), stored("kim", "hello", 1)
    await store.reserve_upload(upload, NOW)
    await store.reserve_upload(reserved("b" * 64, NOW + DAY_US), NOW + 1000)  # stores tidy up at such times

    await store.insert_function(function, made(upload, function))

    assert await store.get_function(function.function_id) == function


@pytest.mark.parametrize("lost", ["never reserved", "released", "taken over", "completed"])
async def test_without_its_reservation_a_function_is_not_recorded(store, lost):
    upload, other, function = reserved(), reserved(free_at_us=NOW + 99), stored("kim", "late", 1)
    if lost != "never reserved":
        await store.reserve_upload(upload, NOW)
    if lost == "released":
        await store.release_upload(upload)
    if lost == "taken over":
        await store.reserve_upload(other, NOW + 10)
    if lost == "completed":
        first = stored("kim", "first", 1)
        await store.insert_function(first, made(upload, first))

    with pytest.raises(ConflictError, match="Idempotency-Key"):
        await store.insert_function(function, made(upload, function))

    with pytest.raises(NotFoundError):
        await store.get_function(function.function_id)
    assert (await store.page_functions(None, 10, ""))[0] == ([first] if lost == "completed" else [])


async def test_where_the_functions_id_is_taken_the_reservation_stays_open(store):
    upload, function = reserved(), stored("kim", "hello", 1)
    await store.insert_function(function)
    await store.reserve_upload(upload, NOW)

    with pytest.raises(ConflictError, match="function_id"):
        await store.insert_function(stored("kim", "other", 2, function_id=function.function_id), made(upload, function))

    assert await store.get_function(function.function_id) == function
    assert await store.reserve_upload(reserved(), NOW) == upload


async def test_of_many_completing_one_upload_at_once_exactly_one_makes_a_function(store):
    upload, functions = reserved(), [stored("kim", f"f{number}", 1) for number in range(6)]
    await store.reserve_upload(upload, NOW)

    await asyncio.gather(
        *(store.insert_function(function, made(upload, function)) for function in functions), return_exceptions=True
    )

    (function,), _ = await store.page_functions("kim", 10, "")
    assert await store.reserve_upload(reserved(), NOW) == made(upload, function)


async def test_a_released_name_is_free(store):
    upload = reserved()
    await store.reserve_upload(upload, NOW)

    assert await store.release_upload(upload) is None
    assert await store.release_upload(upload) is None

    assert await store.reserve_upload(reserved(), NOW) is None


async def test_only_what_is_as_it_was_is_released(store):
    mine, theirs, function = reserved(), reserved(), stored("kim", "hello", 1)
    await store.reserve_upload(theirs, NOW)

    assert await store.release_upload(mine) == theirs
    await store.insert_function(function, made(theirs, function))

    assert await store.release_upload(theirs) == made(theirs, function)
    assert await store.release_upload(made(theirs, function)) is None


async def test_an_upload_is_no_function(store):
    upload, function = reserved(), stored("kim", "hello", 1)
    await store.reserve_upload(upload, NOW)
    await store.insert_function(function, made(upload, function))
    await store.reserve_upload(reserved("b" * 64), NOW)

    for odd in (upload.name, f"upload#{upload.name}"):
        with pytest.raises(NotFoundError):
            await store.get_function(odd)
        with pytest.raises(NotFoundError):
            await store.delete_function(odd)

    assert await store.page_functions(None, 10, "") == ([function], "")
    assert await store.reserve_upload(reserved(), NOW) == made(upload, function)


async def test_uploads_outlive_the_process(store_url):
    upload = reserved()
    async with open_store(store_url) as before:
        await before.reserve_upload(upload, NOW)

    async with open_store(store_url) as after:
        assert await after.reserve_upload(reserved(), NOW) == upload
