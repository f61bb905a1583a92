"""Holds the output of running jobs, readable from its beginning while it is written."""

import asyncio
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nanogrid.caller import Caller
from nanogrid.errors import NotFoundError
from services.executor.sandbox import OutputStream

LOG_BYTES = 64_000_000  # per job, after which a mark replaces the rest
_IN_MEMORY = 256 * 1024  # more output goes to disk
_HEADER = struct.Struct(">QBI")  # milliseconds since 1970, stream, length
_STREAMS = tuple(OutputStream)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of output. `sequence` counts from 0 within the job. `written_at_ms` is the time it was read."""

    sequence: int
    written_at_ms: int
    stream: OutputStream
    data: bytes


class OutputLog:
    """The output of one job, bounded on disk and in memory. One writer, any number of readers from the beginning."""

    def __init__(self, owner: str, folder: Path, limit: int = LOG_BYTES) -> None:
        self.owner = owner
        self._limit = limit
        self._folder = folder
        self._opened: IO[bytes] | None = None  # most jobs print nothing
        self._size = 0
        self._cut = False
        self._ended = False
        self._readers = 0
        self._grown: asyncio.Event | None = None  # created by a waiting reader

    def take(self, stream: OutputStream, data: bytes) -> None:
        """Append a piece. At the limit append a mark, then drop the rest."""
        if self._cut:
            return
        if self._size + len(data) > self._limit:
            self._cut = True
            data = b"\n[cut: the job's log is full]\n"
        header = _HEADER.pack(time.time_ns() // 1_000_000, _STREAMS.index(stream), len(data))
        self._file.seek(self._size)
        self._file.write(header + data)
        self._size += len(header) + len(data)
        self._wake()

    def end(self) -> None:
        """Mark the output as complete."""
        self._ended = True
        self._wake()
        self._close_if_done()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield everything from the beginning until the end, as it arrives."""
        self._readers += 1
        try:
            async for piece in self._read():
                yield piece
        finally:
            self._readers -= 1
            self._close_if_done()

    async def _read(self) -> AsyncIterator[Piece]:
        offset = sequence = 0
        while True:
            while offset < self._size:
                self._file.seek(offset)
                written_at_ms, stream, length = _HEADER.unpack(self._file.read(_HEADER.size))
                data = self._file.read(length)
                yield Piece(sequence, written_at_ms, _STREAMS[stream], data)
                offset += _HEADER.size + length
                sequence += 1
            if self._ended:
                return
            self._grown = self._grown or asyncio.Event()
            await self._grown.wait()

    @property
    def _file(self) -> IO[bytes]:
        if self._opened is None:
            self._opened = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self._folder))  # noqa: SIM115
        return self._opened

    def _close_if_done(self) -> None:
        if self._ended and not self._readers and self._opened is not None:
            self._opened.close()

    def _wake(self) -> None:
        if self._grown is not None:
            self._grown.set()
            self._grown = None  # waiting readers hold their own reference


class OutputLogs:
    """The outputs of the jobs that run on this executor now. For one event loop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._jobs: dict[str, OutputLog] = {}

    @contextmanager
    def of(self, job_id: str, owner: str) -> Iterator[OutputLog]:
        """Collect a job's output inside the block. Readers may finish reading after it."""
        output = self._jobs[job_id] = OutputLog(owner, self._folder)
        try:
            yield output
        finally:
            output.end()
            if self._jobs.get(job_id) is output:
                del self._jobs[job_id]

    def find(self, job_id: str, who: Caller) -> OutputLog:
        """Return the output of a job that runs here, if `who` may see it, else NotFoundError."""
        output = self._jobs.get(job_id)
        if output is None or not who.may_see(output.owner):
            raise NotFoundError(f"job {job_id} does not run on this executor", field="job_id")
        return output
