"""Who calls: tokens, keys, headers."""

import pytest

from nanogrid import caller
from nanogrid.caller import Caller
from nanogrid.errors import OperatorsOnlyError, UnauthenticatedError, UnavailableError
from nanogrid.rpc.auth import Authenticator, KeyCache, api_key, require_internal


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Verifier:
    """Knows one key, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.known = {"good": "kim"}
        self.down = False

    async def __call__(self, key):
        self.asked += 1
        if self.down:
            raise UnavailableError("down")
        if key not in self.known:
            raise UnauthenticatedError("no")
        return self.known[key]


@pytest.fixture
def verifier():
    return Verifier()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(verifier, clock):
    return KeyCache(verifier, ttl_s=30.0, clock=clock)


async def test_a_key_is_asked_about_once_while_remembered(cache, verifier):
    assert [await cache.principal("good") for _ in range(3)] == ["kim"] * 3

    assert verifier.asked == 1


async def test_a_revoked_key_is_noticed_when_the_memory_is_over(cache, verifier, clock):
    await cache.principal("good")
    verifier.known.clear()

    clock.now += 29.9
    assert await cache.principal("good") == "kim"
    clock.now += 0.2
    with pytest.raises(UnauthenticatedError):
        await cache.principal("good")


async def test_a_key_that_is_not_valid_is_remembered_too(cache, verifier):
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await cache.principal("bad")

    assert verifier.asked == 1


async def test_not_being_able_to_ask_is_not_remembered(cache, verifier):
    verifier.down = True
    with pytest.raises(UnavailableError):
        await cache.principal("good")
    verifier.down = False

    assert await cache.principal("good") == "kim"


async def test_no_key_is_remembered_in_the_clear_however_long(cache):
    await cache.principal("good")
    with pytest.raises(UnauthenticatedError):
        await cache.principal("bad" * 10_000)

    assert all(len(kept) == 32 for kept in cache._known)


async def test_the_memory_is_bounded(verifier, monkeypatch):
    monkeypatch.setattr("nanogrid.rpc.auth._CACHE_SIZE", 10)
    cache = KeyCache(verifier)

    for number in range(35):
        with pytest.raises(UnauthenticatedError):
            await cache.principal(f"bad{number}")

    assert len(cache._known) <= 10


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "k"},
        {"authorization": "Bearer k"},
        {"authorization": "bearer  k "},
        {"x-api-key": "k", "authorization": "Bearer other"},
        {"x-api-key": "k", "authorization": "Basic zzz"},
    ],
)
def test_a_key_is_found_in_either_header(headers):
    assert api_key(headers) == "k"


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"authorization": "Basic k"}, {"x-api-key": ""}],
)
def test_without_a_key_the_answer_says_how_to_send_one(headers):
    with pytest.raises(UnauthenticatedError, match="X-API-Key"):
        api_key(headers)


def authenticator(verifier, *, required=True, token="secret"):
    return Authenticator(required=required, internal_token=token, verify=verifier)


async def test_a_key_makes_an_outsider_of_its_principal_whatever_else_is_claimed(verifier):
    who = await authenticator(verifier).identify(
        {"x-api-key": "good", caller.PRINCIPAL_KEY: "root", caller.REQUEST_ID_KEY: "r1"}
    )

    assert who == Caller("kim", internal=False, request_id="r1")


@pytest.mark.parametrize("claimed", ["wrong", "", "secret ", "sécret"])
async def test_a_wrong_token_is_no_token(verifier, claimed):
    with pytest.raises(UnauthenticatedError):
        await authenticator(verifier).identify({caller.TOKEN_KEY: claimed, caller.PRINCIPAL_KEY: "kim"})


async def test_without_a_configured_token_an_empty_one_opens_nothing(verifier):
    with pytest.raises(UnauthenticatedError):
        await authenticator(verifier, token="").identify({caller.TOKEN_KEY: ""})


async def test_the_token_proves_a_part_of_the_grid_speaking_for_somebody_or_itself(verifier):
    guard = authenticator(verifier)

    spoken_for = await guard.identify({caller.TOKEN_KEY: "secret", caller.PRINCIPAL_KEY: "kim"})

    assert (spoken_for.principal, spoken_for.internal) == ("kim", True)
    assert (await guard.identify({caller.TOKEN_KEY: "secret"})).principal is None
    assert verifier.asked == 0


async def test_where_nothing_is_required_callers_are_who_they_say(verifier):
    who = await authenticator(verifier, required=False).identify({caller.PRINCIPAL_KEY: "kim"})

    assert (who.principal, who.internal) == ("kim", True)
    assert who.request_id


def test_operators_calls_refuse_outsiders():
    before = caller.caller()
    caller.set_caller(Caller("kim", internal=False, request_id=""))
    try:
        with pytest.raises(OperatorsOnlyError):
            require_internal()
    finally:
        caller.set_caller(before)
