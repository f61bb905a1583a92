"""A gateway with the real registry behind it."""

import uuid

import pytest
import pytest_asyncio

from support.gateway_grid import gateway_grid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid"), gateway_upload_bytes=3_000_000) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


@pytest.fixture
def key():
    return {"idempotency-key": str(uuid.uuid4())}
