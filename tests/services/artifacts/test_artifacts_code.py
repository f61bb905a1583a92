"""Artifacts over real gRPC."""

import asyncio
import hashlib
import io
import os
import uuid
import zipfile
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from nanogrid.bundle import BundleLimits, verify
from nanogrid.errors import (
    ArchiveRejectedError,
    InvalidFieldError,
    NotFoundError,
    TooLargeError,
)
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.blobs import open_blobs
from support.archives import Member, archive, overlap_bomb
from support.artifacts import (
    code_parts,
    download_code,
    upload_code,
)
from support.artifacts_grid import FUNCTION, KEY, TOKEN, settings_for
from support.waiting import until

LYING = archive(Member("a.py", bytes(900), deflate=True, both={"size": 5}))


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
        if function_id != "hello":
            with pytest.raises(InvalidFieldError, match="function_id"):
                await grid.DeleteCode(pb.DeleteCodeRequest(function_id=function_id))

        assert stored() == set()

    async def test_code_that_was_put_there_by_hand_is_left_to_its_owner(self, grid, stored, tmp_path) -> None:
        lying = tmp_path / "artifacts" / "code" / "functions" / "hello" / "code.zip"
        lying.parent.mkdir(parents=True)
        lying.write_bytes(b"theirs")

        await grid.DeleteCode(pb.DeleteCodeRequest(function_id="hello"))

        assert stored() == {"code/functions/hello/code.zip"}

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
