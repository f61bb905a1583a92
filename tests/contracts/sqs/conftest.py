"""An SQS that behaves, and a queue on it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.queue import TaskQueue, open_queue
from support.sqs_queues import VISIBILITY_S
from support.sqs_server import SqsHere, client_env, create_queues, sqs_here


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[SqsHere]:
    async with sqs_here() as server:
        for name, value in client_env(server.url, tmp_path).items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(create_queues, "tasks", receives=3)
        server.cloud.calls.clear()
        yield server


@pytest.fixture
async def queue(server: SqsHere) -> AsyncIterator[TaskQueue]:
    async with open_queue("sqs://tasks", "one", VISIBILITY_S) as opened:
        yield opened
