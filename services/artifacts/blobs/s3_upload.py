"""Uploads to S3 that are too large for one call: in parts, of which nothing is left when it fails."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from nanogrid import aws
from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from services.artifacts.spool import read_chunks
from services.artifacts.threads import finish_in, to_the_end

if TYPE_CHECKING:  # stubs are for checking only
    from mypy_boto3_s3 import S3Client

log = logger()

PART_BYTES = 8 * 1024 * 1024  # S3 wants 5 MiB at least, and 10,000 parts at most: up to 80 GiB
_AT_ONCE = 3  # parts under way of one upload; more would cost memory before they gain time


def pieces_of(source: Path | AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Return the bytes of a file or a stream in pieces of PART_BYTES, the last of which may be smaller."""
    return _file_pieces(source) if isinstance(source, Path) else _stream_pieces(source)


class S3Upload:
    """One upload in parts. Only a complete upload becomes the object. A failed or cancelled one is aborted."""

    def __init__(self, client: "S3Client", pool: Executor, bucket: str, key: str) -> None:
        self._client = client
        self._pool = pool
        self._bucket = bucket
        self._key = key
        self._upload_id = ""
        self._sent: deque[asyncio.Task[str]] = deque()
        self._etags: list[str] = []

    async def run(
        self, first: bytes, rest: AsyncIterator[bytes], *, content_type: str, metadata: dict[str, str]
    ) -> int:
        """S3Upload it all and say how many bytes there were. Errors are the SDK's, or the source's own."""
        try:
            await finish_in(self._pool, self._begin, content_type, metadata)
            size = await self._send(first)
            async for piece in rest:
                size += await self._send(piece)
            while self._sent:
                await self._settle_oldest()
            await finish_in(self._pool, self._complete)
        except BaseException:
            await to_the_end(self._abandon())
            raise
        return size

    async def _send(self, piece: bytes) -> int:
        if len(self._sent) == _AT_ONCE:
            await self._settle_oldest()
        number = len(self._etags) + len(self._sent) + 1
        self._sent.append(asyncio.create_task(finish_in(self._pool, self._part, number, piece)))
        return len(piece)

    async def _settle_oldest(self) -> None:
        etag = await asyncio.shield(self._sent[0])  # shielded, and still listed: who abandons has to wait for it
        self._sent.popleft()
        self._etags.append(etag)

    async def _abandon(self) -> None:
        # A part that arrives after the abort would stay, and be paid for.
        await asyncio.gather(*self._sent, return_exceptions=True)
        if self._upload_id:
            await finish_in(self._pool, self._abort)

    def _begin(self, content_type: str, metadata: dict[str, str]) -> None:
        begun = self._client.create_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            ContentType=content_type,
            Metadata=metadata,
            ServerSideEncryption="AES256",
        )
        self._upload_id = begun["UploadId"]

    def _part(self, number: int, piece: bytes) -> str:
        sent = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=piece
        )
        return sent["ETag"]

    def _complete(self) -> None:
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(self._etags, 1)]},
        )

    def _abort(self) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except ClientError as error:
            if aws.code_of(error) != "NoSuchUpload":  # completed in the very moment it was cancelled
                log.warning(
                    "an upload was not aborted; the bucket's lifecycle will", key=self._key, code=aws.code_of(error)
                )
        except BotoCoreError as error:
            log.warning(
                "an upload was not aborted; the bucket's lifecycle will", key=self._key, error=type(error).__name__
            )


async def _file_pieces(path: Path) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in read_chunks(path, PART_BYTES):
            yield piece
    except OSError as error:
        raise UnavailableError(f"the file to be stored cannot be read: {error.strerror}; try again") from error


async def _stream_pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        while len(gathered) >= PART_BYTES:
            yield bytes(gathered[:PART_BYTES])
            del gathered[:PART_BYTES]
    if gathered:
        yield bytes(gathered)
