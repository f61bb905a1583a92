"""Keeps durable results in artifacts, many in one call."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from nanogrid.artifacts import Artifacts
from nanogrid.errors import NotFoundError
from nanogrid.v1.artifacts_pb2 import FinishedRecord

_BATCH = 200  # records in one call
_BATCH_BYTES = 8_000_000  # and their size, unless one alone is larger
# Records of this long travel together: nobody waits for them, and under load a record then costs a third.
_TOGETHER_S = 0.02


class ResultKeeper:
    """One call at a time; the slower artifacts is, the more records a call carries."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._waiting: list[tuple[FinishedRecord, asyncio.Future[bytes]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    async def keep(self, record: FinishedRecord, *, at_once: bool = False) -> bytes:
        """Keep a record; b"", or the different one that was kept earlier and stays. UnavailableError: not kept yet.

        `at_once` where somebody waits for it.
        """
        kept: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, kept))
        if at_once:
            self._hurried.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="keep records")
        return await kept

    async def find(self, job_id: str) -> bytes | None:
        """The record kept earlier, if there is one. UnavailableError."""
        try:
            return await self._artifacts.read_result(job_id)
        except NotFoundError:
            return None

    async def _send(self) -> None:
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TOGETHER_S):
                        await self._hurried.wait()
                self._hurried.clear()
                batch = self._next_batch()
                try:
                    kept = await self._artifacts.keep_results([record for record, _ in batch])
                except Exception as error:  # noqa: BLE001 - it is its askers' to handle
                    _tell(batch, [error] * len(batch))
                else:
                    _tell(batch, [one.earlier for one in kept])
        finally:
            self._sender = None

    def _next_batch(self) -> list[tuple[FinishedRecord, "asyncio.Future[bytes]"]]:
        size = count = 0
        for record, _ in self._waiting[:_BATCH]:
            size += len(record.record)
            if count and size > _BATCH_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch


def _tell(batch: list[tuple[FinishedRecord, "asyncio.Future[bytes]"]], answers: Sequence[bytes | Exception]) -> None:
    for (_, kept), answer in zip(batch, answers, strict=True):
        if kept.done():
            continue  # whoever asked was cancelled
        if isinstance(answer, Exception):
            kept.set_exception(answer)
        else:
            kept.set_result(answer)
