import asyncio
from pathlib import Path

import pytest

from nanogrid.caller import Caller
from nanogrid.errors import NotFoundError
from services.executor.run.output_log import OutputLog, OutputLogs, Piece
from services.executor.sandbox import OutputStream

OUT, ERR = OutputStream.STDOUT, OutputStream.STDERR
GRID = Caller(None, internal=True, request_id="")


async def read(output: OutputLog) -> list[Piece]:
    return [piece async for piece in output.pieces()]


async def test_a_reader_gets_everything_from_the_beginning_in_order(tmp_path: Path) -> None:
    live = OutputLogs(tmp_path)
    with live.of("job-1", "alice") as output:
        output.take(OUT, b"one")
        reading = asyncio.create_task(read(live.find("job-1", GRID)))
        await asyncio.sleep(0)
        output.take(ERR, b"two")
        output.take(OUT, b"three")

    pieces = await reading
    assert [(p.sequence, p.stream, p.data) for p in pieces] == [(0, OUT, b"one"), (1, ERR, b"two"), (2, OUT, b"three")]
    assert pieces[0].written_at_ms > 1_700_000_000_000


async def test_every_reader_reads_on_its_own(tmp_path: Path) -> None:
    output = OutputLog("alice", tmp_path)
    readers = [asyncio.create_task(read(output)) for _ in range(3)]
    for number in range(1000):
        output.take(OUT, b"%d" % number * 100)
        if number % 100 == 0:
            await asyncio.sleep(0)
    output.end()

    for reader in readers:
        assert [piece.data for piece in await reader] == [b"%d" % number * 100 for number in range(1000)]


async def test_a_log_that_is_full_ends_with_a_mark(tmp_path: Path) -> None:
    output = OutputLog("alice", tmp_path, limit=1000)
    for _ in range(5):
        output.take(OUT, b"x" * 400)
    reading = asyncio.create_task(read(output))
    await asyncio.sleep(0)
    output.end()

    assert [piece.data for piece in await reading] == [b"x" * 400, b"x" * 400, b"\n[cut: the job's log is full]\n"]


def test_what_is_not_running_here_or_anothers_does_not_exist(tmp_path: Path) -> None:
    live = OutputLogs(tmp_path)
    bob = Caller("bob", internal=False, request_id="")
    with live.of("job-1", "alice"), pytest.raises(NotFoundError):
        live.find("job-1", bob)
    with pytest.raises(NotFoundError):
        live.find("job-1", GRID)
