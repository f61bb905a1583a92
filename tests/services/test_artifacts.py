"""Artifacts over real gRPC."""

import asyncio
import hashlib
import io
import os
import uuid
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import grpc.aio
import pytest

from nanogrid.bundle import BundleLimits, verify
from nanogrid.channel import open_stub
from nanogrid.errors import (
    ArchiveRejectedError,
    InvalidFieldError,
    NotFoundError,
    OperatorsOnlyError,
    TooLargeError,
    UnauthenticatedError,
)
from nanogrid.status import from_rpc
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1 import registry_pb2, registry_pb2_grpc
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.blobs import open_blobs
from services.artifacts.bootstrap import open_artifacts
from services.artifacts.settings import ArtifactsSettings
from services.registry.bootstrap import open_registry
from services.registry.settings import RegistrySettings
from support.archives import Member, archive, overlap_bomb
from support.artifacts import (
    code_parts,
    download_code,
    download_output,
    output_parts,
    upload_code,
    upload_output,
)
from support.waiting import until

TOKEN = "the-grids-own"
FUNCTION = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
KEY = f"functions/{FUNCTION}/code.zip"
LYING = archive(Member("a.py", bytes(900), deflate=True, both={"size": 5}))


def settings_for(data_dir: Path, **over) -> ArtifactsSettings:
    return ArtifactsSettings(
        data_dir=data_dir, artifacts_listen="127.0.0.1:0", auth="on", internal_token=TOKEN,
        **{"artifacts_upload_bytes": 3_000_000, "artifacts_output_bytes": 2_000_000} | over,
    )  # fmt: skip


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


class TestCode:
    """Bundles: in through the gate, out as they went in."""

    async def test_a_zip_comes_out_as_it_went_in(self, grid, stored) -> None:
        data = archive(Member("main.py", b"x = 1"), Member("pkg/a.bin", os.urandom(2_500_000)), Member("b.py"))

        code = await upload_code(grid, FUNCTION, "code.zip", data)
        info, content = await download_code(grid, KEY)

        digest = hashlib.sha256(data).hexdigest()
        assert code == pb.CodeInfo(
            s3_key=KEY, code_sha256=digest, size_bytes=len(data), root_files=["b.py", "main.py"], single_file=False
        )
        assert info == pb.CodeInfo(s3_key=KEY, code_sha256=digest, size_bytes=len(data))
        assert content == data
        assert stored() == {f"code/{KEY}"}

    async def test_its_digest_is_kept_and_not_computed_at_every_download(self, grid, tmp_path) -> None:
        code = await upload_code(grid, FUNCTION, "main.py", b"x = 1")

        async with open_blobs(settings_for(tmp_path).code_url) as store:
            assert (await store.head(KEY)).sha256 == code.code_sha256

    async def test_a_single_source_file_becomes_a_zip_of_itself(self, grid) -> None:
        source = "def 손(event, context): return '안녕'\n".encode() * 50_000

        code = await upload_code(grid, FUNCTION, "한글.py", source)

        _, content = await download_code(grid, KEY)
        assert (code.single_file, list(code.root_files)) == (True, ["한글.py"])
        assert code.code_sha256 == hashlib.sha256(content).hexdigest()
        assert len(verify(io.BytesIO(content), BundleLimits()).entries) == 1
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            assert packed.read("한글.py") == source

    async def test_the_same_source_has_the_same_digest(self, grid) -> None:
        digests = {
            (await upload_code(grid, str(uuid.uuid4()), "main.py", b"x = 1")).code_sha256,
            (await upload_code(grid, str(uuid.uuid4()), "main.py", b"x = 1")).code_sha256,
        }

        assert len(digests) == 1

    async def test_an_upload_replaces_the_one_before(self, grid) -> None:
        await upload_code(grid, FUNCTION, "main.py", b"x = 1")
        code = await upload_code(grid, FUNCTION, "main.py", b"x = 2")

        assert (await download_code(grid, KEY))[0].code_sha256 == code.code_sha256

    @pytest.mark.parametrize(
        "refused",
        [
            ("code.zip", archive(Member("main.py"), Member("../evil.py")), ArchiveRejectedError, "'..'"),
            ("code.zip", archive(Member("link", b"/etc", mode=0o120777)), ArchiveRejectedError, "do not use -y"),
            ("code.zip", overlap_bomb(100, 900_000), ArchiveRejectedError, "overlaps"),
            ("code.zip", LYING, ArchiveRejectedError, "more than the 5 bytes"),
            ("code.zip", archive(Member("a.py", both={"crc": 1})), ArchiveRejectedError, "checksum"),
            ("code.zip", b"x = 1", ArchiveRejectedError, "not a whole zip"),
            ("code.zip", archive(Member("z", bytes(2_000_000), deflate=True)), TooLargeError, "limit is 100 to 1"),
            ("code.zip", bytes(3_000_001), TooLargeError, "file is over 3000000 bytes; the limit is 3000000 bytes"),
            ("code.zip", b"", InvalidFieldError, "file: is empty"),
            ("main.py", b"", InvalidFieldError, "file: is empty"),
            ("main.py", b"x = '\x00'", InvalidFieldError, "NUL"),
            ("main.py", "x = '손'".encode("cp949"), InvalidFieldError, "UTF-8"),
            ("main.py", "손".encode()[:2], InvalidFieldError, "UTF-8"),
            ("main.rb", b"x", InvalidFieldError, "filename"),
            ("../main.py", b"x", InvalidFieldError, "filename"),
        ],
    )  # fmt: skip
    async def test_what_is_refused_leaves_nothing(self, grid, stored, refused) -> None:
        filename, content, error, words = refused
        with pytest.raises(error, match=words):
            await upload_code(grid, FUNCTION, filename, content)

        assert stored() == set()

    async def test_a_refused_upload_leaves_the_one_before(self, grid) -> None:
        before = await upload_code(grid, FUNCTION, "main.py", b"x = 1")
        with pytest.raises(InvalidFieldError):
            await upload_code(grid, FUNCTION, "main.py", b"\xff")

        assert (await download_code(grid, KEY))[0].code_sha256 == before.code_sha256

    @pytest.mark.parametrize("function_id", ["", FUNCTION.upper(), "../../etc", "hello"])
    async def test_an_id_that_is_no_uuid_is_refused(self, grid, stored, function_id) -> None:
        with pytest.raises(InvalidFieldError, match="function_id"):
            await upload_code(grid, function_id, "main.py", b"x")
        with pytest.raises(InvalidFieldError, match="function_id"):
            await grid.DeleteCode(pb.DeleteCodeRequest(function_id=function_id))

        assert stored() == set()

    async def test_an_upload_stopped_half_way_leaves_nothing(self, grid, stored) -> None:
        async def endless() -> AsyncIterator[bytes]:
            yield b"x = 1\n"
            await asyncio.Event().wait()

        uploading = asyncio.create_task(upload_code(grid, FUNCTION, "main.py", endless()))
        await until(lambda: any(name.startswith("spool/") for name in stored()))
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)

        await until(lambda: stored() == set())

    async def test_a_client_that_vanishes_leaves_nothing(self, address, stored) -> None:
        async def endless() -> AsyncIterator[pb.UploadCodeRequest]:
            async for part in code_parts(FUNCTION, "main.py", b"x = 1\n"):
                if not part.end:
                    yield part
            await asyncio.Event().wait()

        channel = grpc.aio.insecure_channel(address)
        call = ArtifactsServiceStub(channel).UploadCode(endless(), metadata=(("x-nanogrid-token", TOKEN),))
        await until(lambda: any(name.startswith("spool/") for name in stored()))
        await channel.close()
        assert call.done()

        await until(lambda: stored() == set())

    async def test_a_bundle_is_deleted_once_and_for_all(self, grid, stored) -> None:
        await upload_code(grid, FUNCTION, "main.py", b"x")

        for _ in range(2):
            await grid.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION))

        assert stored() == set()
        with pytest.raises(NotFoundError, match="is not there"):
            await download_code(grid, KEY)

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "../url-secret", "a/../../url-secret", "\x00", "x" * 2000])
    async def test_an_impossible_key_is_refused(self, grid, key) -> None:
        with pytest.raises(InvalidFieldError, match="key"):
            await download_code(grid, key)
        with pytest.raises(InvalidFieldError, match="key"):
            await grid.InspectCode(pb.InspectCodeRequest(s3_key=key))


class TestCodePutThereByHand:
    """Bundles an operator laid into the bucket."""

    KEY = "mine/bundle.zip"

    @pytest.fixture
    def lay(self, tmp_path, grid):
        def write(data: bytes) -> None:
            (tmp_path / "artifacts/code/mine").mkdir(exist_ok=True)
            (tmp_path / "artifacts/code" / self.KEY).write_bytes(data)

        return write

    async def inspect(self, grid) -> pb.CodeInfo:
        return (await grid.InspectCode(pb.InspectCodeRequest(s3_key=self.KEY))).code

    async def test_it_is_inspected_and_streamed_with_its_digest(self, grid, lay, stored) -> None:
        data = archive(Member("index.js"), Member("lib/a.js"))
        lay(data)

        digest = hashlib.sha256(data).hexdigest()
        assert await self.inspect(grid) == pb.CodeInfo(
            s3_key=self.KEY, code_sha256=digest, size_bytes=len(data), root_files=["index.js"]
        )
        assert await download_code(grid, self.KEY) == (
            pb.CodeInfo(s3_key=self.KEY, code_sha256=digest, size_bytes=len(data)),
            data,
        )
        assert stored() == {f"code/{self.KEY}"}

    async def test_it_goes_through_the_same_gate(self, grid, lay, stored) -> None:
        for data, error in (
            (archive(Member("/etc/passwd")), ArchiveRejectedError),
            (archive(Member("a.py", both={"crc": 1})), ArchiveRejectedError),
            (b"x = 1", ArchiveRejectedError),
            (bytes(3_000_001), TooLargeError),
        ):
            lay(data)
            with pytest.raises(error):
                await self.inspect(grid)

        assert stored() == {f"code/{self.KEY}"}

    async def test_one_over_the_limit_is_refused_unread_with_both_numbers(self, grid, lay) -> None:
        lay(bytes(3_000_001))

        with pytest.raises(TooLargeError, match="is 3000001 bytes; the limit is 3000000 bytes"):
            await self.inspect(grid)

    async def test_one_that_is_not_there_is_not_found(self, grid) -> None:
        with pytest.raises(NotFoundError):
            await self.inspect(grid)


class TestOutputs:
    """What jobs leave behind, and the URLs that open it."""

    async def test_an_output_comes_out_as_it_went_in(self, grid, stored) -> None:
        content = os.urandom(1_500_000)

        done = await upload_output(grid, "job-1", "sub/그림 1.png", content)

        key = "outputs/job-1/sub/그림 1.png"
        assert done == pb.UploadOutputResponse(key=key, size_bytes=1_500_000)
        assert await download_output(grid, key) == (
            pb.OutputInfo(size_bytes=1_500_000, content_type="image/png"),
            content,
        )
        assert stored() == {"data/" + key}

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


class TestCallers:
    """Who may do what."""

    @pytest.fixture
    async def outsider(self, tmp_path):
        """Artifacts as a user with an API key calls it, and the grid beside it."""
        registry = RegistrySettings(data_dir=tmp_path, registry_listen="127.0.0.1:0", auth="on", internal_token=TOKEN)
        async with open_registry(registry) as registry_port:
            where = f"127.0.0.1:{registry_port}"
            async with (
                open_artifacts(settings_for(tmp_path, registry_address=where)) as port,
                open_stub(registry_pb2_grpc.RegistryServiceStub, where, token=TOKEN) as keys,
                open_stub(ArtifactsServiceStub, f"127.0.0.1:{port}", token=TOKEN) as grid,
                grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            ):
                made = await keys.CreateApiKey(registry_pb2.CreateApiKeyRequest(principal="somebody"))
                await upload_output(grid, "job-1", "a.txt", b"x")
                yield ArtifactsServiceStub(channel), grid, (("x-api-key", made.secret),)

    async def refused(self, call) -> Exception:
        answer = call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer
        return from_rpc(caught.value, "artifacts")

    async def test_only_the_grid_itself_may_touch_what_is_stored(self, outsider) -> None:
        stub, _, key = outsider

        for call in (
            stub.UploadCode(code_parts(FUNCTION, "main.py", b"x"), metadata=key),
            stub.DownloadCode(pb.DownloadCodeRequest(s3_key=KEY), metadata=key),
            stub.InspectCode(pb.InspectCodeRequest(s3_key=KEY), metadata=key),
            stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION), metadata=key),
            stub.UploadOutput(output_parts("job-1", "a.txt", b"y"), metadata=key),
            stub.SignOutputs(pb.SignOutputsRequest(keys=["outputs/job-1/a.txt"]), metadata=key),
            stub.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.txt"), metadata=key),
        ):
            assert isinstance(await self.refused(call), OperatorsOnlyError)

    async def test_without_a_key_nobody_comes_in(self, outsider) -> None:
        stub, _, _ = outsider

        for call in (
            stub.UploadCode(code_parts(FUNCTION, "main.py", b"x")),
            stub.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.txt")),
        ):
            assert isinstance(await self.refused(call), UnauthenticatedError)

    async def test_a_signature_is_enough_for_its_output(self, outsider) -> None:
        stub, grid, key = outsider
        [url] = (await grid.SignOutputs(pb.SignOutputsRequest(keys=["outputs/job-1/a.txt"]))).urls
        query = parse_qs(urlsplit(url).query)
        request = pb.DownloadOutputRequest(
            key="outputs/job-1/a.txt", expires_at_s=int(query["expires"][0]), signature=query["signature"][0]
        )

        parts = [part async for part in stub.DownloadOutput(request, metadata=key)]

        assert b"".join(part.chunk for part in parts) == b"x"


async def test_what_a_crash_left_in_the_spool_is_swept_at_start(tmp_path) -> None:
    left = tmp_path / "artifacts/spool/0123456789abcdef/half"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an upload")

    async with open_artifacts(settings_for(tmp_path)):
        assert not left.parent.exists()
