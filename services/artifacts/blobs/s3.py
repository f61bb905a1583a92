"""The BlobStore on S3, or on another server of its protocol at AWS_ENDPOINT_URL."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from nanogrid import aws
from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.logs import logger
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo, Listed, check_object_key
from services.artifacts.blobs.s3_upload import PART_BYTES, S3Upload, pieces_of
from services.artifacts.threads import finish, finish_in

if TYPE_CHECKING:  # stubs are for checking only
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef, ListObjectsV2OutputTypeDef

log = logger()

_THREADS = 32  # calls at a time; more wait their turn
_CONNECTIONS = 64  # a download holds one between its pieces too
_TRIES = 5  # of a put that S3 cannot decide because another of the same key is under way
_WHAT = "the object store"
_NOT_THERE = {"NoSuchKey", "404"}  # the latter is all that the answer to a HEAD says
_SHA256 = "sha256"
_MARK = "put"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")

_Readable = StreamingBody | BytesIO


@asynccontextmanager
async def open_s3_blobs(bucket: str) -> AsyncIterator["S3Blobs"]:
    """Open a bucket, which has to be there."""
    client = await finish(_client, bucket)
    pool = ThreadPoolExecutor(_THREADS, "s3")
    try:
        yield S3Blobs(bucket, client, pool)
    finally:
        await finish(pool.shutdown)
        client.close()


class S3Blobs:
    """Blobs as objects of one bucket, encrypted at rest. Nothing is kept here: any number of processes may share it."""

    def __init__(self, bucket: str, client: "S3Client", pool: Executor) -> None:
        self._bucket = bucket
        self._client = client
        self._pool = pool

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        check_object_key(key)
        said = {_SHA256: sha256} if sha256 else {}
        async with aclosing(pieces_of(source)) as pieces:
            first = await anext(pieces, b"")
            if len(first) >= PART_BYTES:
                upload = S3Upload(self._client, self._pool, self._bucket, key)
                with _translated():
                    size = await upload.run(first, pieces, content_type=content_type, metadata=said)
                return BlobInfo(key, size, content_type, sha256)
        with _translated():
            await finish_in(self._pool, self._put, key, first, content_type, said)
        return BlobInfo(key, len(first), content_type, sha256)

    async def put_new(self, blobs: Mapping[str, bytes], *, content_type: str) -> set[str]:
        for key in blobs:
            check_object_key(key)
        with _translated():
            outcomes = await asyncio.gather(
                *(finish_in(self._pool, self._put_new, key, blobs[key], content_type) for key in blobs),
                return_exceptions=True,  # nobody is left behind when one fails
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        return {key for key, is_stored in zip(blobs, outcomes, strict=True) if is_stored}

    async def read(self, key: str) -> bytes:
        check_object_key(key)
        with _translated(key):
            return await finish_in(self._pool, self._read, key)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        check_object_key(prefix.removesuffix("/"))
        token = ""
        while True:
            with _translated():
                page = await finish_in(self._pool, self._page, prefix, token)
            for found in page.get("Contents", []):
                yield Listed(found["Key"], found["Size"], found["LastModified"].timestamp())
            if not (token := page.get("NextContinuationToken", "")):
                return

    @asynccontextmanager
    async def open(self, key: str, first_byte: int = 0) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        check_object_key(key)
        with ExitStack() as held:  # lets the connection go also where the caller is cancelled while it is being opened
            with _translated(key):
                info, body = await finish_in(self._pool, self._open, key, held, first_byte)
            yield info, self._chunks(body)

    async def head(self, key: str) -> BlobInfo:
        check_object_key(key)
        with _translated(key):
            found = await finish_in(self._pool, self._client.head_object, Bucket=self._bucket, Key=key)
        return _info(key, found)

    async def delete(self, key: str) -> None:
        check_object_key(key)
        with _translated():
            await finish_in(self._pool, self._client.delete_object, Bucket=self._bucket, Key=key)

    async def delete_below(self, prefix: str) -> None:
        check_object_key(prefix.removesuffix("/"))
        with _translated():
            await finish_in(self._pool, self._delete_below, prefix)

    async def signed_url(self, key: str, ttl_s: int) -> str | None:
        check_object_key(key)
        with _translated():  # in a thread, for credentials may have to be fetched anew
            return await finish_in(
                self._pool,
                self._client.generate_presigned_url,
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=ttl_s,
            )

    def _put(self, key: str, content: bytes, content_type: str, metadata: dict[str, str]) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=content,
            ContentType=content_type,
            Metadata=metadata,
            ServerSideEncryption="AES256",
        )

    def _put_new(self, key: str, content: bytes, content_type: str) -> bool:
        mark = secrets.token_hex(8)
        in_doubt = False
        for _ in range(_TRIES):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    ContentType=content_type,
                    Metadata={_MARK: mark},
                    ServerSideEncryption="AES256",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                in_doubt = in_doubt or aws.was_retried(error)
                code = aws.code_of(error)
                if code == "PreconditionFailed":
                    return in_doubt and self._is_marked(key, mark)
                if code != "ConditionalRequestConflict":
                    raise
            else:
                return True
        raise UnavailableError("the object store cannot decide who was first; try again")

    def _is_marked(self, key: str, mark: str) -> bool:
        """Tell whether the blob is the one we put, though the answer that said so was lost."""
        return self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"].get(_MARK) == mark

    def _read(self, key: str) -> bytes:
        with ExitStack() as held:
            return self._open(key, held)[1].read()

    def _open(self, key: str, held: ExitStack, first_byte: int = 0) -> tuple[BlobInfo, _Readable]:
        if not first_byte:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            held.callback(found["Body"].close)
            return _info(key, found), found["Body"]
        whole = self._client.head_object(Bucket=self._bucket, Key=key)
        if first_byte >= whole["ContentLength"]:  # S3 would refuse it
            return _info(key, whole), BytesIO()
        rest = self._client.get_object(
            Bucket=self._bucket, Key=key, Range=f"bytes={first_byte}-", IfMatch=whole["ETag"]
        )
        held.callback(rest["Body"].close)
        return _info(key, whole), rest["Body"]

    async def _chunks(self, body: _Readable) -> AsyncIterator[bytes]:
        with _translated():
            while chunk := await finish_in(self._pool, body.read, CHUNK_BYTES):
                yield chunk

    def _page(self, prefix: str, token: str) -> "ListObjectsV2OutputTypeDef":
        if not token:
            return self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, ContinuationToken=token)

    def _delete_below(self, prefix: str) -> None:
        token = ""
        while True:
            page = self._page(prefix, token)  # of at most 1000, which is also how many can be deleted at once
            if found := page.get("Contents", []):
                objects = {"Objects": [{"Key": one["Key"]} for one in found], "Quiet": True}
                failed = self._client.delete_objects(Bucket=self._bucket, Delete=objects).get("Errors", [])  # type: ignore[arg-type]  # a TypedDict of just these
                if failed:
                    log.error("objects were not deleted", prefix=prefix, count=len(failed), code=failed[0].get("Code"))
                    raise UnavailableError("the object store did not delete everything; try again")
            if not (token := page.get("NextContinuationToken", "")):
                return


@contextmanager
def _translated(wanted: str = "") -> Iterator[None]:
    """Let no SDK error leave the adapter. One that means that the wanted blob is not there is NotFoundError."""
    with aws.translated(_WHAT):
        try:
            yield
        except ClientError as error:
            if wanted and aws.code_of(error) in _NOT_THERE:
                raise NotFoundError(f"{wanted} is not there", field="key") from None
            raise


def _info(key: str, found: "GetObjectOutputTypeDef | HeadObjectOutputTypeDef") -> BlobInfo:
    return BlobInfo(
        key,
        found["ContentLength"],
        found["ContentType"],
        found["Metadata"].get(_SHA256, ""),
        found["ETag"].strip('"'),
        found["LastModified"].timestamp(),
    )


def _client(bucket: str) -> "S3Client":
    # On AWS the bucket belongs into the host name: else signed URLs name the global host, which redirects to another
    # that their signature is not for. A bucket with dots has no certificate there, and other servers no such hosts.
    named: S3Client = _client_of("virtual")
    if "." not in bucket and (urlsplit(named.meta.endpoint_url).hostname or "").endswith(_AMAZON):
        return named
    named.close()
    return _client_of("path")


def _client_of(addressing: str) -> "S3Client":
    client: S3Client = aws.client(
        "s3", connections=_CONNECTIONS, signature_version="s3v4", s3={"addressing_style": addressing}
    )
    return client
