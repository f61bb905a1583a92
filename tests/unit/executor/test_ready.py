import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.runtimes import RUNTIMES
from services.executor.pool.choices import ready_target
from services.executor.pool.ready import Ready
from services.executor.settings import ExecutorSettings
from support.fake_sandboxes import FakeProvider
from support.waiting import until

PYTHON = RUNTIMES["python3.11"]


@pytest.fixture
def provider(tmp_path: Path) -> FakeProvider:
    return FakeProvider(tmp_path)


@pytest.fixture
async def ready(provider: FakeProvider) -> AsyncIterator[Ready]:
    made = Ready(provider, least={"*": 2}, most=5, offered=lambda: ["python3.11"])
    filling = asyncio.create_task(made.keep_filled())
    yield made
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    await made.close()


async def holds(ready: Ready, count: int) -> None:
    await until(lambda: len(ready.slots()) == count)


async def test_sandboxes_wait_before_anyone_asks(ready: Ready, provider: FakeProvider) -> None:
    await holds(ready, 2)

    slot = ready.take(PYTHON)

    assert slot is not None
    assert provider.made == 2
    await holds(ready, 2)


async def test_demand_raises_what_is_kept_up_to_the_most(ready: Ready) -> None:
    for _ in range(20):
        ready.take(PYTHON)

    await holds(ready, 5)


async def test_one_that_died_waiting_is_passed_over(ready: Ready, provider: FakeProvider) -> None:
    await holds(ready, 2)
    dead, sound = ready.slots()
    dead.sandbox.alive = False  # type: ignore[misc]

    assert ready.take(PYTHON) is sound


async def test_closing_destroys_what_waits(ready: Ready, provider: FakeProvider) -> None:
    await holds(ready, 2)

    await ready.close()

    assert sorted(provider.destroyed) == ["sandbox-1", "sandbox-2"]


async def test_none_is_made_ahead_while_that_is_not_wanted(provider: FakeProvider) -> None:
    ready = Ready(provider, least={"*": 2}, most=5, offered=lambda: ["python3.11"])
    ready.is_refilled = False
    filling = asyncio.create_task(ready.keep_filled())

    for _ in range(10):  # all that it would start has begun by then
        await asyncio.sleep(0)
    assert provider.made == 0
    assert ready.take(PYTHON) is None

    ready.is_refilled = True
    await holds(ready, 2)
    filling.cancel()
    await ready.close()


def test_the_target_follows_demand_within_its_bounds() -> None:
    assert [ready_target(2, 5, takes) for takes in (0, 3, 9)] == [2, 3, 5]


def test_the_setting_names_runtimes_or_all() -> None:
    assert ExecutorSettings(executor_pool="3").ready == {"*": 3}
    assert ExecutorSettings(executor_pool="python3.11=4, nodejs18.x=2,1").ready == {
        "python3.11": 4,
        "nodejs18.x": 2,
        "*": 1,
    }
    with pytest.raises(ValueError, match="write"):
        ExecutorSettings(executor_pool="many")
