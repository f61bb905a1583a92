"""The stores of a grid and of its archive."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.artifacts.blobs import open_blobs
from support.archive_grid import CODE, DIGEST, KEY, Grid, stream
from support.faulty_blobs import FaultyBlobs


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[Grid]:
    async with AsyncExitStack() as stack:
        stores = [
            FaultyBlobs(await stack.enter_async_context(open_blobs((tmp_path / name).as_uri())))
            for name in ("code", "data", "target")
        ]
        await stores[0].real.put(KEY, stream(CODE), content_type="application/zip", sha256=DIGEST)
        yield Grid(*stores, tmp_path)
