"""Fixtures of the contract suites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.sandboxes import Bench, open_bench


@pytest.fixture(params=["docker:", "process:"])
def sandbox_url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(sandbox_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(sandbox_url, tmp_path) as bench:
        yield bench


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench("docker:", tmp_path) as bench:
        yield bench
