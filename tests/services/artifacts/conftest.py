"""Artifacts over real gRPC, of a test's own."""

import pytest

from nanogrid.rpc.client import open_stub
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.bootstrap import open_artifacts
from support.artifacts_grid import TOKEN, settings_for


@pytest.fixture
async def address(tmp_path):
    async with open_artifacts(settings_for(tmp_path)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def grid(address):
    """Artifacts as the grid's own services call it."""
    async with open_stub(ArtifactsServiceStub, address, token=TOKEN) as stub:
        yield stub


@pytest.fixture
def stored(tmp_path):
    """Every file that lies in the stores or in a spool now."""

    def files() -> set[str]:
        root = tmp_path / "artifacts"
        found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        return {name for name in found if "%meta" not in name and name != "url-secret"}

    return files
