"""Threads that are never left behind."""

import asyncio
import threading

import pytest

from services.artifacts.threads import finish


async def test_results_and_errors_come_through() -> None:
    def fail() -> None:
        raise KeyError("text")

    assert await finish(divmod, 7, 2) == (3, 1)
    with pytest.raises(KeyError, match="text"):
        await finish(fail)


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_waits_for_the_end_however_often_asked(fails: bool) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait()
        ended.set()
        if fails:
            raise KeyError

    task = asyncio.create_task(finish(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
