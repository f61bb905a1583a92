import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.v1.resources_pb2 import OutputFile
from services.executor.run.output_files import OutputLimits, OutputRefusedError, collect

LIMITS = OutputLimits(files=3, size_bytes=100)


class Store:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def __call__(self, job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        self.files[path] = b"".join([chunk async for chunk in content])
        return OutputFile(key=f"outputs/{job_id}/{path}", size_bytes=len(self.files[path]))


async def test_files_are_stored_with_their_folders(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "sub" / "deep" / "한글.bin").write_bytes(b"bc")
    store = Store()

    files = await collect("job-1", tmp_path, LIMITS, store)

    assert store.files == {"a.txt": b"a", "sub/deep/한글.bin": b"bc"}
    assert files[0] == OutputFile(key="outputs/job-1/a.txt", size_bytes=1)


async def test_links_fifos_and_sockets_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"private")
    output = tmp_path / "output"
    output.mkdir()
    (output / "file-link").symlink_to(secret / "key")
    (output / "folder-link").symlink_to(secret)
    os.mkfifo(output / "fifo")
    store = Store()

    assert await collect("job-1", output, LIMITS, store) == []
    assert store.files == {}


async def test_a_file_that_became_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    output = tmp_path / "output"
    output.mkdir()
    (output / "a").write_bytes(b"a")
    (output / "b").write_bytes(b"b")

    async def swapping(job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        (output / "b").unlink(missing_ok=True)
        (output / "b").symlink_to(secret)
        read = b"".join([chunk async for chunk in content])
        assert read != b"private"
        return OutputFile(key=path)

    with pytest.raises(OSError, match="symbolic links"):
        await collect("job-1", output, LIMITS, swapping)


async def test_too_many_files_say_both_numbers_and_store_nothing(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).touch()
    store = Store()

    with pytest.raises(OutputRefusedError, match="holds 4 files; the limit is 3") as refused:
        await collect("job-1", tmp_path, LIMITS, store)

    assert refused.value.error.type == "OutputTooLarge"
    assert store.files == {}


async def test_too_many_bytes_say_both_numbers(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 101)

    with pytest.raises(OutputRefusedError, match="holds 101 bytes; the limit is 100 bytes"):
        await collect("job-1", tmp_path, LIMITS, Store())


async def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()

    with pytest.raises(OutputRefusedError, match="not UTF-8"):
        await collect("job-1", tmp_path, LIMITS, Store())


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "\x7f"])
async def test_a_name_that_object_stores_refuse_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(OutputRefusedError, match="control character or backslash"):
        await collect("job-1", tmp_path, LIMITS, Store())
