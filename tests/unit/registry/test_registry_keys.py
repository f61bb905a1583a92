"""The rules of API keys."""

import hashlib
import re

import pytest

from nanogrid.errors import InvalidFieldError, NotFoundError, UnauthenticatedError
from services.registry.keys import Keys
from services.registry.store import open_store


@pytest.fixture
async def store(tmp_path):
    async with open_store(f"sqlite://{tmp_path}/registry.db") as opened:
        yield opened


@pytest.fixture
def keys(store):
    return Keys(store)


async def test_a_key_speaks_for_its_principal(keys):
    _, secret = await keys.create("kim@example.com")

    assert await keys.verify(secret) == "kim@example.com"


async def test_a_key_is_its_public_part_and_256_random_bits(keys):
    key, secret = await keys.create("kim")

    assert re.fullmatch(rf"ng_{key.key_id}_[A-Za-z0-9_-]{{43}}", secret)


async def test_only_the_digest_of_the_secret_is_kept(keys, store, tmp_path):
    key, secret = await keys.create("kim")

    assert (await store.get_key(key.key_id)).digest == hashlib.sha256(secret.encode()).hexdigest()
    assert all(secret[16:].encode() not in path.read_bytes() for path in tmp_path.iterdir())


async def test_every_key_that_is_not_valid_gets_one_and_the_same_answer(keys):
    revoked, revoked_secret = await keys.create("kim")
    await keys.revoke(revoked.key_id)
    _, good = await keys.create("kim")
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    unknown = "ng_000000000000_" + "x" * 43

    answers = set()
    for secret in (revoked_secret, wrong, unknown, "", "nonsense", good + "\n", good.upper(), "키" * 20):
        with pytest.raises(UnauthenticatedError) as caught:
            await keys.verify(secret)
        answers.add((caught.value.message, tuple(caught.value.metadata)))

    assert len(answers) == 1


@pytest.mark.parametrize("principal", ["", "x" * 65, "a b", "a/b", "키", "a\n", "a\0"])
async def test_principals_outside_the_pattern_are_refused(keys, principal):
    with pytest.raises(InvalidFieldError, match="principal"):
        await keys.create(principal)


async def test_revoking_twice_changes_nothing_more(keys):
    key, _ = await keys.create("kim")

    first = await keys.revoke(key.key_id)

    assert await keys.revoke(key.key_id) == first


async def test_revoking_what_never_was_is_not_found(keys):
    with pytest.raises(NotFoundError):
        await keys.revoke("000000000000")
