"""What every FunctionStore promises."""

import asyncio

import pytest

from nanogrid import paging
from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from services.registry.store import open_store
from support.functions import stored


@pytest.fixture
async def store(store_url):
    async with open_store(store_url) as opened:
        yield opened


async def all_pages(store, owner, size):
    found, token = [], ""
    while True:
        page, token = await store.page_functions(owner, size, token)
        found += page
        if not token:
            return found


async def test_what_was_inserted_is_read_back_whole(store):
    function = stored("kim", "안녕", 1_700_000_000_123_456, env={"KEY": "값"}, timeout_s=0)

    await store.insert_function(function)

    found = await store.get_function(function.function_id)
    assert found == function
    assert found.HasField("timeout_s")


async def test_an_id_is_taken_only_once_and_the_first_stays(store):
    first = stored("kim", "first", 1)
    await store.insert_function(first)

    with pytest.raises(ConflictError):
        await store.insert_function(stored("eve", "second", 2, function_id=first.function_id))

    assert await store.get_function(first.function_id) == first


async def test_of_many_inserting_one_id_at_once_exactly_one_wins(store):
    first = stored("kim", "race", 1)
    functions = [stored("kim", f"race{number}", 1, function_id=first.function_id) for number in range(8)]

    outcomes = await asyncio.gather(*(store.insert_function(one) for one in functions), return_exceptions=True)

    assert outcomes.count(None) == 1
    assert sum(isinstance(one, ConflictError) for one in outcomes) == 7


async def test_a_name_means_the_owners_newest(store):
    older, newer = stored("kim", "hello", 1), stored("kim", "hello", 2)
    for function in (newer, older, stored("kim", "other", 3), stored("lee", "hello", 4)):
        await store.insert_function(function)

    assert await store.newest_function("kim", "hello") == newer


@pytest.mark.parametrize("read", ["get", "newest", "delete"])
async def test_what_is_not_there_is_not_found(store, read):
    calls = {
        "get": lambda: store.get_function("nothing"),
        "newest": lambda: store.newest_function("kim", "nothing"),
        "delete": lambda: store.delete_function("nothing"),
    }

    with pytest.raises(NotFoundError):
        await calls[read]()


async def test_pages_hold_an_owners_functions_newest_first_each_once(store):
    # Several share an instant, so that paging by time alone would lose or repeat some.
    mine = [stored("kim", f"f{number}", number // 3) for number in range(10)]
    for function in [*mine, stored("lee", "other", 5)]:
        await store.insert_function(function)

    expected = sorted(mine, key=lambda one: (one.created_at.ToMicroseconds(), one.function_id), reverse=True)
    assert await all_pages(store, "kim", 3) == expected
    assert await all_pages(store, "kim", 10) == expected


async def test_without_an_owner_everybodys_functions_are_paged(store):
    functions = [stored("kim", "a", 1), stored("lee", "b", 2), stored("local", "c", 3)]
    for function in functions:
        await store.insert_function(function)

    assert await all_pages(store, None, 2) == functions[::-1]


async def test_the_last_page_has_no_token_even_when_it_is_full(store):
    for number in range(4):
        await store.insert_function(stored("kim", "a", number))

    _, token = await store.page_functions("kim", 2, "")
    _, last = await store.page_functions("kim", 2, token)

    assert token
    assert not last


async def test_a_function_added_while_paging_does_not_repeat_another(store):
    for number in range(4):
        await store.insert_function(stored("kim", f"f{number}", number))
    first, token = await store.page_functions("kim", 2, "")

    await store.insert_function(stored("kim", "new", 10))

    second, _ = await store.page_functions("kim", 2, token)
    assert [one.function_name for one in first + second] == ["f3", "f2", "f1", "f0"]


@pytest.mark.parametrize("token", ["x", "!!!", "e30", "W10", "WzEsMl0", "WyJhIiwiYiJd"])
async def test_a_token_of_another_make_is_refused(store, token):
    with pytest.raises(InvalidFieldError, match="page_token"):
        await store.page_functions("kim", 2, token)


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, -(2**63), 0])
async def test_a_forged_position_is_only_a_position(store, number):
    await store.insert_function(stored("kim", "a", 1))

    page, _ = await store.page_functions("kim", 2, paging.token([number, "\0'; DROP TABLE functions; --"]))

    assert len(page) in (0, 1)


async def test_deleting_returns_the_function_and_forgets_it_everywhere(store):
    function = stored("kim", "hello", 1)
    await store.insert_function(function)

    assert await store.delete_function(function.function_id) == function

    assert await all_pages(store, "kim", 5) == []
    with pytest.raises(NotFoundError):
        await store.newest_function("kim", "hello")


@pytest.mark.parametrize("odd", ["", "\0", "가" * 2000, "x' OR '1'='1"])
async def test_an_odd_id_is_only_not_there(store, odd):
    with pytest.raises(NotFoundError):
        await store.get_function(odd)
    with pytest.raises(NotFoundError):
        await store.delete_function(odd)


async def test_large_functions_are_paged_too(store):
    functions = [stored("kim", f"f{number}", number, env={"LARGE": "x" * 60_000}) for number in range(25)]
    for function in functions:
        await store.insert_function(function)

    page, token = await store.page_functions("kim", 24, "")

    assert page == functions[:0:-1]
    assert (await store.page_functions("kim", 24, token))[0] == functions[:1]


async def test_of_two_deleting_at_once_one_is_told_it_is_gone(store):
    function = stored("kim", "hello", 1)
    await store.insert_function(function)

    outcomes = await asyncio.gather(
        *(store.delete_function(function.function_id) for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(one).__name__ for one in outcomes) == ["Function", "NotFoundError"]


async def test_functions_outlive_the_process(store_url):
    function = stored("kim", "hello", 1)
    async with open_store(store_url) as before:
        await before.insert_function(function)

    async with open_store(store_url) as after:
        assert await after.get_function(function.function_id) == function
