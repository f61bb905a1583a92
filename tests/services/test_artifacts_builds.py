"""Builds over real gRPC: kept once, found by every executor."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.artifacts import ArtifactsClient
from nanogrid.errors import InvalidFieldError, NotFoundError, TooLargeError, UnauthenticatedError
from nanogrid.rpc.client import open_stub
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.bootstrap import open_artifacts
from services.artifacts.settings import ArtifactsSettings

TOKEN = "the-grids-own"
SHA = "ab" * 32
KEY = pb.BuildKey(runtime="cpp", toolchain="debian12-gcc12-1a2b", code_sha256=SHA)


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    settings = ArtifactsSettings(
        data_dir=tmp_path, artifacts_listen="127.0.0.1:0", auth="on", internal_token=TOKEN,
        artifacts_upload_bytes=3_000_000,
    )  # fmt: skip
    async with open_artifacts(settings) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def grid(address: str) -> AsyncIterator[ArtifactsServiceStub]:
    async with open_stub(ArtifactsServiceStub, address, token=TOKEN) as stub:
        yield stub


async def upload(stub, content: bytes, key: pb.BuildKey = KEY) -> pb.BuildInfo:
    async def parts() -> AsyncIterator[pb.UploadBuildRequest]:
        yield pb.UploadBuildRequest(header=key)
        for start in range(0, len(content), 1 << 20):
            yield pb.UploadBuildRequest(chunk=content[start : start + (1 << 20)])
        yield pb.UploadBuildRequest(end=True)

    return (await stub.UploadBuild(parts())).build


async def download(stub, key: pb.BuildKey = KEY) -> tuple[pb.BuildInfo, bytes]:
    first, *rest = [part async for part in stub.DownloadBuild(pb.DownloadBuildRequest(build=key))]
    return first.build, b"".join(part.chunk for part in rest)


async def test_a_build_comes_out_as_it_went_in_with_its_digest(grid) -> None:
    content = bytes(range(256)) * 8_000

    kept = await upload(grid, content)
    found, got = await download(grid)

    assert got == content
    assert kept == found == pb.BuildInfo(build_sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


async def test_what_nobody_has_built_is_not_found(grid) -> None:
    await upload(grid, b"x")

    for part, other in (("runtime", "go"), ("toolchain", "debian13-gcc14"), ("code_sha256", "cd" * 32)):
        key = pb.BuildKey()
        key.CopyFrom(KEY)
        setattr(key, part, other)
        with pytest.raises(NotFoundError):
            await download(grid, key)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("runtime", ""), ("runtime", "../x"), ("runtime", "C++"), ("toolchain", ""), ("toolchain", ".."),
        ("toolchain", "a/b"), ("toolchain", "x" * 65), ("code_sha256", ""), ("code_sha256", "AB" * 32),
        ("code_sha256", "../../functions/x"),
    ],
)  # fmt: skip
async def test_an_impossible_key_is_refused_either_way(grid, part: str, value: str) -> None:
    key = pb.BuildKey()
    key.CopyFrom(KEY)
    setattr(key, part, value)

    for call in (upload(grid, b"x", key), download(grid, key)):
        with pytest.raises(InvalidFieldError) as caught:
            await call
        assert caught.value.metadata["field"] == part


async def test_a_build_over_the_limit_is_refused_and_leaves_the_one_before(grid) -> None:
    await upload(grid, b"sound")

    with pytest.raises(TooLargeError):
        await upload(grid, bytes(3_000_001))

    assert (await download(grid))[1] == b"sound"


async def test_a_build_is_no_output_and_no_code(grid) -> None:
    await upload(grid, b"x")
    key = f"builds/cpp/debian12-gcc12-1a2b/{SHA}"

    with pytest.raises(InvalidFieldError):
        await grid.SignOutputs(pb.SignOutputsRequest(keys=[key]))
    with pytest.raises(NotFoundError):
        _ = [part async for part in grid.DownloadCode(pb.DownloadCodeRequest(s3_key=key))]


async def test_only_the_grid_itself_may_touch_builds(address: str) -> None:
    async with open_stub(ArtifactsServiceStub, address, token="") as outsider:
        for call in (upload(outsider, b"x"), download(outsider)):
            with pytest.raises(UnauthenticatedError):
                await call


async def test_an_executor_keeps_a_build_and_another_fetches_it(grid) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    await ArtifactsClient(grid).store_build(f"go/debian12-go1.19/{SHA}", content())
    digest, *chunks = [part async for part in ArtifactsClient(grid).fetch_build(f"go/debian12-go1.19/{SHA}")]

    assert b"".join(chunk for chunk in chunks if isinstance(chunk, bytes)) == b"onetwo"
    assert digest == hashlib.sha256(b"onetwo").hexdigest()
