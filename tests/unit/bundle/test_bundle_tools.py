"""Zips as everyday packers write them: each has a habit that is harmless, and all are taken."""

import io
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from nanogrid.bundle import inspect, unpack, verify
from support.archives import Member, archive, folder
from support.bundles import LIMITS

BLOCK_BYTES = 10_240  # of bsdtar, as of tar


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to pack, which is the working directory."""
    project = tmp_path / "project"
    (project / "pkg").mkdir(parents=True)
    (project / "empty").mkdir()
    (project / "main.py").write_text("x = 1")
    (project / "pkg/모듈.py").write_text("y = 2" * 1000)
    monkeypatch.chdir(project)
    return project


def described(content: bytes) -> bytes:
    """The record behind content whose size was not known when it was begun."""
    return b"PK\x07\x08" + struct.pack("<3L", zlib.crc32(content), len(content), len(content))


def streamed(name: str, content: bytes = b"x = 1", extra: bytes = b"") -> Member:
    zero = {"crc": 0, "packed": 0, "size": 0, "extra": extra}
    return Member(name, content, flags=8, local=zero, after=described(content))


def from_the_root() -> bytes:
    """As bsdtar, Archive::Zip and `ZipFile.write(".")` write it when they are told to pack `.`."""
    return archive(folder("./"), Member("./main.py"), folder("./pkg/"), Member("./pkg/a.py"))


def test_names_from_the_root_are_names_in_it(tmp_path: Path) -> None:
    bundle = unpack(io.BytesIO(from_the_root()), tmp_path / "code", LIMITS)

    assert [entry.name for entry in bundle.entries] == ["main.py", "pkg", "pkg/a.py"]
    assert bundle.root_files == ("main.py",)
    assert sorted(str(path.relative_to(tmp_path / "code")) for path in (tmp_path / "code").rglob("*")) == [
        "main.py",
        "pkg",
        "pkg/a.py",
    ]


def test_a_zip_through_a_pipe_is_filled_up_to_a_block() -> None:
    data = from_the_root()

    bundle = verify(io.BytesIO(data + bytes(BLOCK_BYTES - len(data))), LIMITS)

    assert bundle.root_files == ("main.py",)


def test_a_zip_of_macos_is_taken_with_its_resource_forks() -> None:
    local, central = struct.pack("<2H12x", 0x5855, 12), struct.pack("<2H8x", 0x5855, 8)  # times and owner, and times
    members = [streamed("main.py", extra=local), folder("__MACOSX/"), streamed("__MACOSX/._main.py", extra=local)]
    for member in members:
        member.central = {"extra": central}

    assert verify(io.BytesIO(archive(*members)), LIMITS).root_files == ("main.py",)


def test_a_jar_is_taken() -> None:
    magic = struct.pack("<2H", 0xCAFE, 0)  # only the first entry has it, and only its header
    first = folder("META-INF/")
    first.local = {"extra": magic}
    first.central = {"extra": magic}

    assert verify(io.BytesIO(archive(first, streamed("META-INF/MANIFEST.MF"), streamed("a.py"))), LIMITS).root_files


def test_extra_fields_of_windows_and_unix_are_taken() -> None:
    ntfs = struct.pack("<2H", 0x000A, 32) + bytes(32)
    unix = struct.pack("<2H5x", 0x5455, 5) + struct.pack("<2H11x", 0x7875, 11)
    short = struct.pack("<2H9x", 0x5455, 9)

    data = archive(Member("a.py", central={"extra": ntfs}), Member("b.py", local={"extra": unix + short}))

    assert verify(io.BytesIO(data), LIMITS).root_files == ("a.py", "b.py")


def test_a_folder_deflated_to_nothing_is_taken() -> None:
    nothing = b"\x03\x00"  # as deflate spells it
    fields = {"method": 8, "packed": 2, "data": nothing}

    assert verify(io.BytesIO(archive(Member("d/", b"", both=fields), Member("a.py"))), LIMITS).root_files == ("a.py",)


def test_pythons_own_packers_are_taken(project: Path, tmp_path: Path) -> None:
    by_hand = io.BytesIO()
    with zipfile.ZipFile(by_hand, "w", zipfile.ZIP_DEFLATED) as packer:
        for path, _, files in os.walk("."):
            packer.write(path)
            for file in files:
                packer.write(f"{path}/{file}")
    made = Path(shutil.make_archive(str(tmp_path / "made"), "zip", project))

    for data in (by_hand.getvalue(), made.read_bytes()):
        names = [entry.name for entry in verify(io.BytesIO(data), LIMITS).entries]
        assert sorted(names) == ["empty", "main.py", "pkg", "pkg/모듈.py"]


def test_zip64_for_small_files_is_taken() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as packer:
        with packer.open("main.py", "w", force_zip64=True) as target:
            target.write(b"x = 1")
        packer.comment = "주석".encode()

    assert inspect(io.BytesIO(packed.getvalue()), LIMITS).size_bytes == 5
