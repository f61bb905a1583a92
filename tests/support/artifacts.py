"""Calls the artifacts service: one function per whole upload or download."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from nanogrid.v1 import artifacts_pb2 as pb

CHUNK_BYTES = 1024 * 1024


async def _pieces(content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]
    else:
        async for piece in content:
            yield piece


async def code_parts(
    function_id: str, filename: str, content: bytes | AsyncIterable[bytes]
) -> AsyncIterator[pb.UploadCodeRequest]:
    yield pb.UploadCodeRequest(header=pb.UploadCodeHeader(function_id=function_id, filename=filename))
    async for piece in _pieces(content):
        yield pb.UploadCodeRequest(chunk=piece)
    yield pb.UploadCodeRequest(end=True)


async def upload_code(stub: Any, function_id: str, filename: str, content: bytes | AsyncIterable[bytes]) -> pb.CodeInfo:
    """Upload code as the gateway does."""
    return (await stub.UploadCode(code_parts(function_id, filename, content))).code


async def output_parts(
    job_id: str, path: str, content: bytes | AsyncIterable[bytes]
) -> AsyncIterator[pb.UploadOutputRequest]:
    yield pb.UploadOutputRequest(header=pb.UploadOutputHeader(job_id=job_id, path=path))
    async for piece in _pieces(content):
        yield pb.UploadOutputRequest(chunk=piece)
    yield pb.UploadOutputRequest(end=True)


async def upload_output(
    stub: Any, job_id: str, path: str, content: bytes | AsyncIterable[bytes]
) -> pb.UploadOutputResponse:
    """Upload one output file as an executor does."""
    return await stub.UploadOutput(output_parts(job_id, path, content))


async def download_code(stub: Any, s3_key: str) -> tuple[pb.CodeInfo, bytes]:
    """Return a bundle's description and its bytes."""
    parts = [part async for part in stub.DownloadCode(pb.DownloadCodeRequest(s3_key=s3_key))]
    assert all(0 < len(part.chunk) <= CHUNK_BYTES for part in parts[1:])
    return parts[0].code, b"".join(part.chunk for part in parts[1:])


async def download_output(
    stub: Any, key: str, expires_at_s: int = 0, signature: str = ""
) -> tuple[pb.OutputInfo, bytes]:
    """Return an output file's description and its bytes."""
    request = pb.DownloadOutputRequest(key=key, expires_at_s=expires_at_s, signature=signature)
    parts = [part async for part in stub.DownloadOutput(request)]
    assert all(0 < len(part.chunk) <= CHUNK_BYTES for part in parts[1:])
    return parts[0].info, b"".join(part.chunk for part in parts[1:])
