"""Outputs of jobs over real gRPC."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import grpc.aio
import pytest

from nanogrid.errors import (
    InvalidFieldError,
    NotFoundError,
    TooLargeError,
)
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.status import from_rpc
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.bootstrap import open_artifacts
from support.artifacts import (
    download_output,
    upload_code,
    upload_output,
)
from support.artifacts_grid import FUNCTION, KEY, TOKEN, settings_for
from support.waiting import until


class TestOutputs:
    """What jobs leave behind, and the URLs that open it."""

    async def test_an_output_comes_out_as_it_went_in(self, grid, stored) -> None:
        content = os.urandom(1_500_000)

        done = await upload_output(grid, "job-1", "sub/그림 1.png", content)

        key = "outputs/job-1/sub/그림 1.png"
        assert done == pb.UploadOutputResponse(key=key, size_bytes=1_500_000)
        info, found = await download_output(grid, key)
        assert (info.size_bytes, info.content_type, found) == (1_500_000, "image/png", content)
        described = await grid.DescribeOutput(pb.DescribeOutputRequest(key=key))
        assert described.info == info
        assert info.etag
        assert info.modified_at.seconds
        assert stored() == {"data/" + key}

    @pytest.mark.parametrize(
        ("first_byte", "size_bytes", "expected"),
        [(0, 3, b"012"), (2, 3, b"234"), (8, 0, b"89"), (9, 1, b"9"), (9, 100, b"9"), (10, 0, b""), (99, 5, b"")],
    )
    async def test_a_part_of_an_output_is_sent_alone(self, grid, first_byte, size_bytes, expected) -> None:
        await upload_output(grid, "job-1", "a.bin", b"0123456789")
        asked = pb.DownloadOutputRequest(key="outputs/job-1/a.bin", first_byte=first_byte, size_bytes=size_bytes)

        first, *parts = [message async for message in grid.DownloadOutput(asked)]

        assert first.info.size_bytes == 10
        assert b"".join(part.chunk for part in parts) == expected

    @pytest.mark.parametrize("wrong", [{"first_byte": -1}, {"size_bytes": -1}])
    async def test_a_part_before_the_file_is_refused(self, grid, wrong) -> None:
        await upload_output(grid, "job-1", "a.bin", b"0123456789")

        with pytest.raises(InvalidFieldError, match="0 or more"):
            await anext(aiter(grid.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.bin", **wrong))))

    async def test_an_empty_output_is_one_too(self, grid) -> None:
        await upload_output(grid, "job-1", "empty.txt", b"")

        info, content = await download_output(grid, "outputs/job-1/empty.txt")
        assert (info.size_bytes, info.content_type, content) == (0, "text/plain; charset=utf-8", b"")

    async def test_an_output_over_the_limit_is_refused_and_leaves_nothing(self, grid, stored) -> None:
        with pytest.raises(TooLargeError, match="over 2000000 bytes; the limit is 2000000 bytes"):
            await upload_output(grid, "job-1", "a.bin", bytes(2_000_001))

        assert stored() == set()

    @pytest.mark.parametrize(
        ("job_id", "path", "field"),
        [("job-1", "../job-2/a.txt", "path"), ("job-1", "", "path"), ("job-1", "a\x00", "path"), ("..", "a", "job_id")],
    )
    async def test_an_impossible_name_is_refused(self, grid, stored, job_id, path, field) -> None:
        with pytest.raises(InvalidFieldError) as caught:
            await upload_output(grid, job_id, path, b"x")

        assert caught.value.metadata == {"field": field}
        assert stored() == set()

    async def test_a_signed_url_opens_its_output_only(self, grid) -> None:
        keys = ["outputs/job-1/한 글.txt", "outputs/job-1/b.txt"]
        for key in keys:
            await upload_output(grid, "job-1", key.rpartition("/")[2], key.encode())

        urls = (await grid.SignOutputs(pb.SignOutputsRequest(keys=keys))).urls

        assert urls[0].startswith("/outputs/job-1/%ED%95%9C%20%EA%B8%80.txt?expires=")
        parts = [urlsplit(url) for url in urls]
        assert [unquote(part.path) for part in parts] == ["/" + key for key in keys]
        queries = [{name: values[0] for name, values in parse_qs(part.query).items()} for part in parts]
        expires, signature = int(queries[0]["expires"]), queries[0]["signature"]
        _, content = await download_output(grid, keys[0], expires, signature)
        assert content == keys[0].encode()
        for forged in (
            (keys[1], expires, signature),
            (keys[0], expires + 1, signature),
            (keys[0], expires, "0" * 64),
            (keys[0], expires, ""),
            (keys[0], 0, signature),
            ("../url-secret", expires, signature),
        ):
            with pytest.raises(NotFoundError, match="wrong or has expired"):
                await download_output(grid, *forged)

    async def test_urls_are_signed_alike_by_every_process(self, grid, tmp_path) -> None:
        await upload_output(grid, "job-1", "a.txt", b"x")
        async with (
            open_artifacts(settings_for(tmp_path)) as port,
            open_stub(ArtifactsServiceStub, f"127.0.0.1:{port}", token=TOKEN) as other,
        ):
            [url] = (await other.SignOutputs(pb.SignOutputsRequest(keys=["outputs/job-1/a.txt"]))).urls

        query = parse_qs(urlsplit(url).query)
        _, content = await download_output(grid, "outputs/job-1/a.txt", int(query["expires"][0]), query["signature"][0])
        assert content == b"x"

    async def test_what_is_no_output_is_neither_signed_nor_read(self, grid) -> None:
        await upload_code(grid, FUNCTION, "main.py", b"x")

        for key in (KEY, "outputs/job-1", "outputs/../code/" + KEY, ""):
            with pytest.raises(InvalidFieldError):
                await grid.SignOutputs(pb.SignOutputsRequest(keys=[key]))
            with pytest.raises(InvalidFieldError):
                await download_output(grid, key)

    async def test_too_many_keys_at_once_are_refused(self, grid) -> None:
        keys = [f"outputs/job-1/{n}" for n in range(1001)]

        assert len((await grid.SignOutputs(pb.SignOutputsRequest(keys=keys[:1000]))).urls) == 1000
        with pytest.raises(InvalidFieldError, match="1001"):
            await grid.SignOutputs(pb.SignOutputsRequest(keys=keys))

    async def test_an_output_that_is_not_there_is_not_found(self, grid) -> None:
        with pytest.raises(NotFoundError):
            await download_output(grid, "outputs/job-1/none.txt")

    async def test_a_download_given_up_half_way_lets_go(self, grid) -> None:
        await upload_output(grid, "job-1", "a.bin", bytes(2_000_000))
        here = Path("/proc/self/fd")

        def opened() -> int:
            return sum("job-1" in str(fd.readlink()) for fd in here.iterdir() if fd.is_symlink())

        answer = grid.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.bin"))
        assert (await anext(answer)).info.size_bytes == 2_000_000
        await answer.aclose()

        await until(lambda: opened() == 0)


class TestStreams:
    """Uploads that are not shaped as the contract says."""

    HEADER = pb.UploadCodeRequest(header=pb.UploadCodeHeader(function_id=FUNCTION, filename="main.py"))

    @pytest.mark.parametrize(
        ("parts", "field"),
        [
            ([], "header"),
            ([pb.UploadCodeRequest(chunk=b"x")], "header"),
            ([pb.UploadCodeRequest()], "header"),
            ([HEADER, pb.UploadCodeRequest(chunk=b"x"), HEADER], "chunk"),
            ([HEADER, pb.UploadCodeRequest()], "chunk"),
            ([HEADER, pb.UploadCodeRequest(chunk=b"x = 1")], "end"),
            ([HEADER], "end"),
            ([HEADER, pb.UploadCodeRequest(chunk=bytes(1024 * 1024 + 1))], "chunk"),
        ],
    )
    async def test_a_misshapen_stream_is_refused(self, grid, stored, parts, field) -> None:
        async def stream() -> AsyncIterator[pb.UploadCodeRequest]:
            for part in parts:
                yield part

        with pytest.raises(InvalidFieldError) as caught:
            await grid.UploadCode(stream())

        assert caught.value.metadata == {"field": field}
        assert stored() == set()

    async def test_garbage_in_a_stream_is_refused(self, address, stored) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            for parts in ([b"\xff\xff"], [self.HEADER.SerializeToString(), b"\xff\xff"]):
                call = channel.stream_unary("/nanogrid.v1.ArtifactsService/UploadCode")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(iter(parts), metadata=(("x-nanogrid-token", TOKEN),))
                assert isinstance(from_rpc(caught.value, "artifacts"), InvalidFieldError)

        assert stored() == set()
