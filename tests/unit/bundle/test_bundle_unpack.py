"""Unpacking: a folder with exactly the archive's files, or nothing at all."""

import io
import os
import stat
from pathlib import Path

import pytest

from nanogrid.bundle import BundleLimits, inspect, pack_single, unpack, verify
from nanogrid.errors import ArchiveRejectedError, TooLargeError
from support.archives import Member, archive, folder

LIMITS = BundleLimits()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_and_folders_arrive_with_their_content_and_plain_modes(target: Path) -> None:
    big = os.urandom(1_500_000)
    data = archive(
        Member("deep/er/big.bin", big, deflate=True),
        folder("empty/"),
        Member("run.sh", b"#!/bin/sh", mode=0o100711),
        Member("한글.py", b"secret", mode=0o100600),
        Member("odd", b"", mode=0o101666),
    )

    before = os.umask(0o077)
    try:
        bundle = unpack(io.BytesIO(data), target, LIMITS)
    finally:
        os.umask(before)

    assert bundle.size_bytes == big.__len__() + 15
    assert (target / "deep/er/big.bin").read_bytes() == big
    assert (target / "한글.py").read_bytes() == b"secret"
    assert list((target / "empty").iterdir()) == []
    assert {mode(path) for path in (target, target / "deep", target / "deep/er", target / "empty")} == {0o755}
    assert mode(target / "run.sh") == 0o755
    assert mode(target / "한글.py") == 0o644
    assert mode(target / "odd") == 0o644


def test_an_existing_empty_folder_is_filled(target: Path) -> None:
    target.mkdir()

    unpack(io.BytesIO(archive(Member("main.py"))), target, LIMITS)

    assert (target / "main.py").exists()


def test_a_folder_with_something_in_it_is_left_alone(target: Path) -> None:
    target.mkdir()
    (target / "mine").write_text("keep")

    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(archive(Member("main.py"))), target, LIMITS)

    assert (target / "mine").read_text() == "keep"


def test_a_link_in_place_of_the_folder_is_not_followed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(archive(Member("main.py"))), target, LIMITS)

    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("existed", [False, True])
def test_a_failure_half_way_leaves_nothing(target: Path, existed: bool) -> None:
    if existed:
        target.mkdir()
    data = archive(folder("a/"), Member("a/good.py"), Member("top.py"), Member("bad.py", both={"crc": 1}))

    with pytest.raises(ArchiveRejectedError, match="checksum"):
        unpack(io.BytesIO(data), target, LIMITS)

    assert target.exists() == existed
    assert not existed or list(target.iterdir()) == []


def test_an_entry_that_lies_about_its_size_is_stopped_while_inflating(target: Path) -> None:
    data = archive(Member("a.py", bytes(900_000), deflate=True, both={"size": 10}))

    with pytest.raises(ArchiveRejectedError, match="more than the 10 bytes"):
        unpack(io.BytesIO(data), target, LIMITS)

    assert not target.exists()


def test_a_refused_archive_does_not_touch_the_disk(target: Path) -> None:
    with pytest.raises(ArchiveRejectedError):
        unpack(io.BytesIO(archive(Member("ok.py"), Member("../evil.py"))), target, LIMITS)
    with pytest.raises(TooLargeError):
        unpack(io.BytesIO(archive(Member("ok.py"), Member("b.py"))), target, BundleLimits(entries=1))

    assert not target.exists()
    assert not (target.parent / "evil.py").exists()


def test_a_path_is_taken_as_well_as_an_open_file(target: Path, tmp_path: Path) -> None:
    packed = tmp_path / "code.zip"
    packed.write_bytes(archive(Member("main.py")))

    assert inspect(packed, LIMITS) == verify(packed, LIMITS) == unpack(packed, target, LIMITS)


class TestPackSingle:
    """A single source file as a zip of itself."""

    def packed(self, folder: Path, content: bytes, name: str = "main.py", modified_s: int = 10**9) -> bytes:
        source = folder / "upload"
        source.write_bytes(content)
        os.utime(source, (modified_s, modified_s))
        pack_single(source, name, folder / "code.zip")
        return (folder / "code.zip").read_bytes()

    def test_it_comes_out_as_it_went_in(self, tmp_path: Path, target: Path) -> None:
        data = self.packed(tmp_path, "print('한글')".encode(), "한글.py")

        bundle = unpack(io.BytesIO(data), target, LIMITS)

        assert bundle.root_files == ("한글.py",)
        assert (target / "한글.py").read_text() == "print('한글')"

    def test_the_same_name_and_content_make_the_same_bytes_anywhere(self, tmp_path: Path) -> None:
        first = self.packed(tmp_path, b"x = 1\n")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "upload").touch(mode=0o777)

        assert self.packed(tmp_path / "other", b"x = 1\n", modified_s=2 * 10**9) == first
        assert self.packed(tmp_path, b"x = 1\n", "other.py") != first
        assert self.packed(tmp_path, b"x = 2\n") != first

    def test_repetitive_source_is_no_bomb(self, tmp_path: Path) -> None:
        data = self.packed(tmp_path, b"x = 1\n" * 500_000)

        assert verify(io.BytesIO(data), LIMITS).size_bytes == 3_000_000
