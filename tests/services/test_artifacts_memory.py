"""Artifacts as a process of its own: what it costs to pass half a gigabyte through it."""

import asyncio
import os
import re
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from nanogrid.rpc.client import open_stub
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from support.archives import Member, central_header, end_record, local_header
from support.artifacts import CHUNK_BYTES, upload_code, upload_output

FUNCTION = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
CHUNKS = 500
GROWTH_BYTES = 64 * 1024 * 1024  # promised


@pytest.fixture
async def process(tmp_path):
    """`python -m services.artifacts`, and the port it serves on."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NANOGRID_DATA_DIR": str(tmp_path),
        "NANOGRID_ARTIFACTS_LISTEN": "127.0.0.1:0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.artifacts", env=env, stderr=asyncio.subprocess.PIPE
    )
    async for line in process.stderr:
        event = orjson.loads(line)
        if event["event"] == "serving":
            break
    yield process, event["port"]
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


def peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def big_zip(block: bytes) -> AsyncIterator[bytes]:
    """A zip with one stored file of CHUNKS times `block`, never whole in this process either."""
    crc = 0
    for _ in range(CHUNKS):
        crc = zlib.crc32(block, crc)
    size = len(block) * CHUNKS
    fields = Member("model.bin", both={"crc": crc, "packed": size, "size": size}).fields()
    head = local_header(fields)
    directory = central_header(fields, 0)
    yield head
    for _ in range(CHUNKS):
        yield block
    yield directory + end_record(directory, len(head) + size, 1)


async def test_half_a_gigabyte_passes_without_being_held(process, tmp_path) -> None:
    server, port = process
    block = os.urandom(CHUNK_BYTES)
    async with open_stub(ArtifactsServiceStub, f"127.0.0.1:{port}") as stub:
        await upload_code(stub, FUNCTION, "main.py", b"x = 1")  # so that what loads on first use is there
        await upload_output(stub, "job-1", "a.txt", b"x")
        before = peak_bytes(server.pid)

        code = await upload_code(stub, FUNCTION, "code.zip", big_zip(block))
        after_upload = peak_bytes(server.pid)
        received = 0
        async for part in stub.DownloadCode(pb.DownloadCodeRequest(s3_key=code.s3_key)):
            received += len(part.chunk)
        after_download = peak_bytes(server.pid)

    assert code.size_bytes == received > CHUNKS * CHUNK_BYTES
    assert after_upload - before < GROWTH_BYTES
    assert after_download - before < GROWTH_BYTES
    assert [path for path in (tmp_path / "artifacts/spool").rglob("*") if path.is_file()] == []
