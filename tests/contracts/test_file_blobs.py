"""What only the BlobStore in a folder promises."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from services.artifacts.blobs import BlobInfo, open_blobs
from support.blobs import JSON, is_there, keys_below, put, streamed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


async def test_an_ordinary_key_is_the_path_of_its_file(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        await put(store, "functions/1b4e28ba/code.zip", b"zip")

    assert (root / "functions/1b4e28ba/code.zip").read_bytes() == b"zip"


async def test_control_characters_are_kept_apart_too(root: Path) -> None:
    keys = ("a\nb", "a\rb", "a\x01b", "a b", "a%0Ab")  # which the tests' S3 has no way to
    async with open_blobs(root.as_uri()) as store:
        for key in keys:
            await put(store, f"list/{key}", key.encode())

        assert await keys_below(store, "list/") == sorted(f"list/{key}" for key in keys)
        assert [await store.read(f"list/{key}") for key in keys] == [key.encode() for key in keys]


async def test_new_blobs_need_no_nameless_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def unable(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", unable)
    async with open_blobs(root.as_uri()) as store:
        assert await store.put_new({"a/1": b"1", "a/2": b"2"}, content_type=JSON) == {"a/1", "a/2"}
        assert await store.put_new({"a/1": b"!", "a/3": b"3"}, content_type=JSON) == {"a/3"}

        assert [await store.read(f"a/{number}") for number in (1, 2, 3)] == [b"1", b"2", b"3"]
        assert list(root.rglob("%tmp/*/*")) == []


async def test_what_is_not_ours_is_not_listed(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        await put(store, "a/mine.txt")
        (root / "a/no-dot-and-no-mark").write_bytes(b"")
        (root / "a/%zz.txt").write_bytes(b"")
        (root / "a/loop").symlink_to(root)
        (root / "a/gone.txt").symlink_to("nowhere")
        os.mkfifo(root / "a/pipe.txt")

        assert await keys_below(store, "a/") == ["a/mine.txt"]


async def test_a_file_put_there_by_hand_is_a_blob(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        (root / "mine").mkdir()
        (root / "mine/page.html").write_bytes(b"hello")

        assert await store.head("mine/page.html") == BlobInfo("mine/page.html", 5, "text/html; charset=utf-8")


async def test_what_was_said_of_a_file_is_not_believed_of_another(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        await store.put("a/code.zip", streamed(b"first"), content_type="application/zip", sha256="ab" * 32)
        (root / "a/code.zip").write_bytes(b"other")

        assert (await store.head("a/code.zip")).sha256 == ""


async def test_nothing_is_left_behind(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        await put(store, "a/b/c.txt")
        await store.delete("a/b/c.txt")
        await put(store, "d/e/f/g.txt")
        await store.delete_below("d/e/")

    assert {str(path.relative_to(root)) for path in root.rglob("*")} == {"%tmp", "%meta"}


async def test_what_a_crash_left_is_swept_at_start(root: Path) -> None:
    (root / "%tmp/0123456789abcdef").mkdir(parents=True)
    (root / "%tmp/0123456789abcdef/half").write_bytes(b"half")

    async with open_blobs(root.as_uri()):
        assert not (root / "%tmp/0123456789abcdef").exists()


async def test_what_is_no_file_is_not_there(root: Path) -> None:
    async with open_blobs(root.as_uri()) as store:
        os.mkfifo(root / "pipe.txt")
        (root / "folder.txt").mkdir()

        assert not await is_there(store, "pipe.txt")
        assert not await is_there(store, "folder.txt")


@pytest.mark.parametrize("url", ["", "/tmp", "file:relative", "file://host/path", "ftp://bucket"])
async def test_a_url_it_does_not_know_names_the_setting(url: str) -> None:
    with pytest.raises(ValueError, match="NANOGRID_ARTIFACTS_CODE_URL"):
        async with open_blobs(url):
            pass
