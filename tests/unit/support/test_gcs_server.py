"""The stand-in for Google Cloud Storage, held against Google's own Python client."""

import io
import os
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # grpcio is pinned on purpose; this library does not use it
    from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed
    from google.auth.exceptions import InvalidOperation
    from google.cloud import storage
    from google.cloud.storage.retry import DEFAULT_RETRY

from support.gcs_server import GcsServer, gcs_server

PIECE = 256 * 1024


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with gcs_server("box") as server:
        yield server


@pytest.fixture
def bucket(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    with storage.Client() as client:
        yield client.bucket("box")


@pytest.mark.parametrize("size", [0, 1, PIECE, 9 * 1024 * 1024])
def test_what_goes_in_comes_out(bucket: storage.Bucket, size: int) -> None:
    content = os.urandom(size)
    blob = bucket.blob("하나/둘 %2F.bin")
    blob.metadata = {"sha256": "ab"}

    blob.upload_from_string(content, content_type="application/x-odd")
    found = bucket.get_blob("하나/둘 %2F.bin")

    assert found.download_as_bytes() == content
    assert found.download_as_bytes(start=1, end=2) == content[1:3] if size > 2 else True
    assert (found.size, found.content_type, found.metadata) == (size, "application/x-odd", {"sha256": "ab"})
    assert found.generation == blob.generation


@pytest.mark.parametrize("size", [0, 1, 2 * PIECE, 2 * PIECE + 1])
def test_a_stream_of_unknown_length_goes_in_by_chunks(bucket: storage.Bucket, server: GcsServer, size: int) -> None:
    content = os.urandom(size)

    with bucket.blob("a").open("wb", chunk_size=PIECE) as writer:
        writer.write(content)

    assert server.content("box") == {"a": content}


def test_the_first_writer_wins(bucket: storage.Bucket, server: GcsServer) -> None:
    bucket.blob("a").upload_from_string(b"first", if_generation_match=0)

    for content in (b"small", bytes(9 * 1024 * 1024)):
        with pytest.raises(PreconditionFailed):
            bucket.blob("a").upload_from_string(content, if_generation_match=0)

    assert server.content("box") == {"a": b"first"}


def test_the_first_to_finish_wins(bucket: storage.Bucket, server: GcsServer) -> None:
    def writer() -> io.BufferedIOBase:
        return bucket.blob("a").open("wb", chunk_size=PIECE, if_generation_match=0, retry=DEFAULT_RETRY)

    one, two = writer(), writer()
    for each, byte in ((one, b"1"), (two, b"2")):
        each.write(byte * (PIECE + 1))
    two.close()
    with pytest.raises(Exception, match="412"):
        one.close()
    one._buffer.close()  # it would try again when it is collected

    assert server.content("box") == {"a": b"2" * (PIECE + 1)}


def test_a_generation_that_was_replaced_is_gone(bucket: storage.Bucket) -> None:
    bucket.blob("a").upload_from_string(b"old")
    old = bucket.get_blob("a")
    bucket.blob("a").upload_from_string(b"new")

    with pytest.raises(NotFound):
        bucket.blob("a", generation=old.generation).download_as_bytes()


def test_listings_come_in_pages(bucket: storage.Bucket) -> None:
    for name in ("a/1", "a/2", "a/3", "b/1", "a"):
        bucket.blob(name).upload_from_string(name)

    found = bucket.client.list_blobs(bucket, prefix="a/", page_size=2)

    assert [[blob.name for blob in page] for page in found.pages] == [["a/1", "a/2"], ["a/3"]]


def test_what_is_not_there_cannot_be_deleted(bucket: storage.Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    bucket.blob("a").delete()

    with pytest.raises(NotFound):
        bucket.blob("a").delete()
    with pytest.raises(NotFound, match="bucket does not exist"):
        bucket.client.bucket("other").blob("a").upload_from_string(b"x")
    assert bucket.exists()
    assert not bucket.client.bucket("other").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "x" * 1025])
def test_names_that_the_real_one_refuses_are_refused(bucket: storage.Bucket, name: str) -> None:
    with pytest.raises(BadRequest):
        bucket.blob(name).upload_from_string(b"x")


def test_damage_on_the_way_is_noticed(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.crc32c = "AAAAAA=="

    with pytest.raises(BadRequest, match="CRC32C"):
        blob.upload_from_string(b"x", checksum=None)


def test_a_caller_without_the_token_is_refused(bucket: storage.Bucket, server: GcsServer) -> None:
    server.token = "secret"

    with pytest.raises(InvalidOperation):  # asked for credentials, the client has none to refresh
        bucket.get_blob("a")


def test_the_client_gets_over_passing_faults(bucket: storage.Bucket, server: GcsServer) -> None:
    bucket.blob("a").upload_from_string(b"x" * 100_000)
    server.cut_downloads = 1

    assert bucket.blob("a").download_as_bytes() == b"x" * 100_000

    server.lost_answers = 1
    with pytest.raises(PreconditionFailed):  # the first attempt had been carried out
        bucket.blob("b").upload_from_string(b"y", if_generation_match=0)

    server.down = True
    with pytest.raises(Exception, match=r"503|Timeout"):
        bucket.get_blob("a", retry=DEFAULT_RETRY.with_timeout(0.1))
    assert server.counts["get"] > 2


def test_objects_outlive_a_restart(bucket: storage.Bucket, server: GcsServer) -> None:
    bucket.blob("a").upload_from_string(b"x")

    server.stop()
    with pytest.raises(Exception, match=r"Connection|Timeout"):
        bucket.get_blob("a", retry=None)
    server.start()

    assert bucket.get_blob("a").download_as_bytes() == b"x"
