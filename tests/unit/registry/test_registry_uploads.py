"""The rules of uploads under an idempotency key."""

import uuid

import pytest

from nanogrid.errors import ConflictError, InvalidFieldError
from nanogrid.v1.registry_pb2 import CreateFunctionRequest, UploadReservation
from services.registry.catalog import Catalog
from services.registry.store import open_store
from services.registry.uploads import REMEMBERED_S, RESERVED_S, Uploads
from support.callers import calling
from support.functions import a_function

FINGERPRINT = "f" * 64


class Registry:
    """The rules over a real store, at a time that a test chooses."""

    def __init__(self, store):
        self.now_us = 1_800_000_000_000_000
        self.catalog = Catalog(store)
        self.uploads = Uploads(store, lambda: self.now_us)

    def later(self, seconds):
        self.now_us += round(seconds * 1_000_000)

    async def create(self, mine, **fields):
        request = CreateFunctionRequest(function=a_function(), reservation=mine, fingerprint=FINGERPRINT)
        request.MergeFrom(CreateFunctionRequest(**fields))
        return await self.catalog.create(request.function, self.uploads.completed(request))


@pytest.fixture
async def registry(tmp_path):
    async with open_store(f"sqlite://{tmp_path}/registry.db") as store:
        with calling("kim"):
            yield Registry(store)


def reservation(key="deploy-7"):
    return UploadReservation(idempotency_key=key, reservation_id=str(uuid.uuid4()))


async def test_a_key_that_made_a_function_answers_it_and_its_fingerprint(registry):
    mine = reservation()
    assert await registry.uploads.reserve(mine) is None
    function = await registry.create(mine)

    earlier = await registry.uploads.reserve(reservation())

    assert (earlier.function, earlier.fingerprint) == (function, FINGERPRINT)


async def test_a_key_of_an_upload_under_way_is_a_conflict_until_it_is_released(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    with pytest.raises(ConflictError, match="under way") as caught:
        await registry.uploads.reserve(reservation())
    assert caught.value.metadata == {"field": "idempotency_key"}

    assert await registry.uploads.release(mine) is False

    assert await registry.uploads.reserve(reservation()) is None


async def test_another_principals_keys_are_others(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    with calling("lee"):
        assert await registry.uploads.reserve(reservation()) is None
        await registry.uploads.release(mine)

    with pytest.raises(ConflictError):
        await registry.uploads.reserve(reservation())


async def test_a_key_left_behind_is_free_after_its_time(registry):
    await registry.uploads.reserve(reservation())

    registry.later(RESERVED_S - 0.001)
    with pytest.raises(ConflictError):
        await registry.uploads.reserve(reservation())
    registry.later(0.001)
    assert await registry.uploads.reserve(reservation()) is None


async def test_an_upload_that_took_too_long_is_recorded_unless_another_took_its_key(registry):
    slow, quick = reservation(), reservation()
    await registry.uploads.reserve(slow)
    registry.later(RESERVED_S)
    await registry.uploads.reserve(quick)

    with pytest.raises(ConflictError):
        await registry.create(slow)
    assert await registry.create(quick)

    alone = reservation("other")
    await registry.uploads.reserve(alone)
    registry.later(2 * RESERVED_S)
    assert await registry.create(alone)


async def test_a_key_is_remembered_from_when_its_function_was_recorded(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    registry.later(60)
    await registry.create(mine)

    registry.later(REMEMBERED_S - 0.001)
    assert await registry.uploads.reserve(reservation()) is not None
    registry.later(0.001)
    assert await registry.uploads.reserve(reservation()) is None


async def test_a_key_whose_function_was_deleted_is_free(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    function = await registry.create(mine)

    await registry.catalog.delete(function.function_id)

    assert await registry.uploads.reserve(reservation()) is None


async def test_what_was_released_can_make_no_function(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    await registry.uploads.release(mine)

    with pytest.raises(ConflictError):
        await registry.create(mine)

    assert await registry.catalog.page(10, "") == ([], "")


async def test_releasing_what_made_a_function_says_so_and_leaves_both(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)
    function = await registry.create(mine)

    assert await registry.uploads.release(mine) is True
    assert await registry.uploads.release(reservation()) is False

    assert (await registry.uploads.reserve(reservation())).function == function


async def test_a_function_that_is_refused_leaves_its_reservation_open(registry):
    mine = reservation()
    await registry.uploads.reserve(mine)

    with pytest.raises(InvalidFieldError, match="memory_mb"):
        await registry.create(mine, function=a_function(memory_mb=1))

    with pytest.raises(ConflictError):
        await registry.uploads.reserve(reservation())
    assert await registry.create(mine)


@pytest.mark.parametrize("key", ["", "a b", "a\n", "\x7f", "키", "x" * 256])
async def test_a_key_that_cannot_be_one_is_refused(registry, key):
    with pytest.raises(InvalidFieldError, match="idempotency_key"):
        await registry.uploads.reserve(reservation(key))


@pytest.mark.parametrize("key", ["a", "~", "!", "x" * 255, '"quoted"'])
async def test_a_key_is_any_printable_ascii(registry, key):
    assert await registry.uploads.reserve(reservation(key)) is None


@pytest.mark.parametrize("reservation_id", ["", "x", "0" * 36, "4F1C2D3E-5A6B-4C7D-8E9F-0A1B2C3D4E5F"])
async def test_a_reservation_is_a_uuid(registry, reservation_id):
    mine = UploadReservation(idempotency_key="a", reservation_id=reservation_id)

    for step in (registry.uploads.reserve, registry.uploads.release):
        with pytest.raises(InvalidFieldError, match="reservation_id"):
            await step(mine)


@pytest.mark.parametrize("fingerprint", ["f" * 63, "F" * 64, "f" * 65])
async def test_a_fingerprint_is_a_digest(registry, fingerprint):
    mine = reservation()
    await registry.uploads.reserve(mine)

    with pytest.raises(InvalidFieldError, match="fingerprint"):
        await registry.create(mine, fingerprint=fingerprint)
