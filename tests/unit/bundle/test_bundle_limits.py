"""Zips that are too much of something, and the contents of those that are taken."""

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from nanogrid.bundle import BundleLimits, inspect, verify
from nanogrid.errors import ArchiveRejectedError, TooLargeError
from support import archives
from support.archives import Member, archive, lay_out
from support.bundles import LIMITS


def too_large(data: bytes, limits: BundleLimits) -> dict[str, str]:
    with pytest.raises(TooLargeError) as caught:
        inspect(io.BytesIO(data), limits)
    assert caught.value.metadata["limit"] in caught.value.message
    assert caught.value.metadata["actual"] in caught.value.message
    return caught.value.metadata


def test_too_many_entries_are_refused_with_both_numbers() -> None:
    found = too_large(archive(*(Member(f"{n}.py") for n in range(11))), BundleLimits(entries=10))

    assert (found["limit"], found["actual"]) == ("10", "11")


def test_folders_that_are_only_implied_count_as_entries() -> None:
    deep = [Member(f"{n}/" + "/".join("d" * 20) + "/a.py") for n in range(10)]

    assert too_large(archive(*deep), BundleLimits(entries=100))["limit"] == "100"


def test_a_declared_size_over_the_limit_is_refused() -> None:
    assert too_large(archive(Member("a"), Member("b", bytes(200))), BundleLimits(unpacked_bytes=200))["limit"] == "200"


def test_a_large_entry_packed_too_well_is_refused_with_both_numbers() -> None:
    bomb = archive(Member("zeros", bytes(2_000_000), deflate=True))

    found = too_large(bomb, LIMITS)

    assert found["limit"] == "100"
    assert int(found["actual"]) > 500


def test_a_small_entry_may_be_packed_as_well_as_it_goes() -> None:
    data = archive(Member("zeros", bytes(1_000_000), deflate=True))

    assert verify(io.BytesIO(data), LIMITS).size_bytes == 1_000_000


def test_a_table_of_contents_over_the_limit_is_refused() -> None:
    assert (
        too_large(archive(*(Member(f"{n}") for n in range(30))), BundleLimits(directory_bytes=1000))["limit"] == "1000"
    )


def test_inspecting_the_worst_names_stays_small_in_memory() -> None:
    # 5000 records of 3000 bytes of short parts each: 15 MB of names, and millions of folders if all were kept.
    names = [f"{n:04}/" + "/".join(["a" * 46] * 60) for n in range(5000)]
    laid = lay_out([Member(name, central={"offset": 0}) for name in names[:20]])
    directory = b"".join(lay_out([Member(name)]).directory for name in names)
    data = archives.Laid(laid.body, directory, len(names)).zip()

    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="files and folders"):
            inspect(io.BytesIO(data), LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


class TestVerify:
    """The proof by inflating: what only shows when the content is read."""

    def refusal(self, data: bytes) -> str:
        inspect(io.BytesIO(data), LIMITS)  # nothing wrong to be seen from outside
        with pytest.raises(ArchiveRejectedError) as caught:
            verify(io.BytesIO(data), LIMITS)
        return caught.value.message

    def test_an_honest_archive_passes(self) -> None:
        data = archive(Member("a.py", os.urandom(700_000), deflate=True), Member("b.py", bytes(700_000)))

        assert verify(io.BytesIO(data), LIMITS).size_bytes == 1_400_000

    def test_more_content_than_declared_is_refused(self) -> None:
        lie = Member("a.py", bytes(900_000), deflate=True, both={"size": 1000})

        assert "more than the 1000 bytes" in self.refusal(archive(lie))

    def test_less_content_than_declared_is_refused(self) -> None:
        lie = Member("a.py", bytes(500), deflate=True, both={"size": 900})

        assert "inflates to 500 bytes" in self.refusal(archive(lie))

    @pytest.mark.parametrize("deflate", [False, True])
    def test_a_wrong_checksum_is_refused(self, deflate: bool) -> None:
        assert "checksum" in self.refusal(archive(Member("a.py", b"content", deflate=deflate, both={"crc": 5})))

    def test_content_that_is_not_deflate_is_refused(self) -> None:
        assert "cannot be read" in self.refusal(archive(Member("a.py", b"\xff" * 50, both={"method": 8})))

    def test_compressed_content_that_ends_early_is_refused(self) -> None:
        packed = archives.deflated(os.urandom(5000))[:-10]
        lie = Member("a.py", deflate=True, both={"data": packed, "packed": len(packed), "size": 5000})

        assert "cut off" in self.refusal(archive(lie))

    @pytest.mark.parametrize("hidden", [1, 200_000])
    def test_bytes_hidden_behind_the_compressed_content_are_refused(self, hidden: int) -> None:
        packed = archives.deflated(b"x = 1") + bytes(hidden)
        lie = Member("a.py", b"x = 1", deflate=True, both={"data": packed, "packed": len(packed)})

        assert "behind the end" in self.refusal(archive(lie))

    def test_bytes_hidden_behind_content_that_fills_a_read_are_refused(self) -> None:
        length = 64 * 1024 - 5  # one stored block of deflate: 5 bytes of header, then as it is
        packed = struct.pack("<B2H", 1, length, length ^ 0xFFFF) + bytes(length) + b"hidden"
        lie = Member("a.py", bytes(length), deflate=True, both={"data": packed, "packed": len(packed)})

        assert "behind the end" in self.refusal(archive(lie))


def writer(compression: int) -> Callable[[], bytes]:
    def write() -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", compression) as packer:
            packer.mkdir("pkg")
            packer.writestr("pkg/__init__.py", "")
            packer.writestr("main.py", "x = 1\n" * 1000)
        return target.getvalue()

    return write


@pytest.mark.parametrize("write", [writer(zipfile.ZIP_STORED), writer(zipfile.ZIP_DEFLATED)])
def test_what_the_standard_library_packs_passes(write: Callable[[], bytes]) -> None:
    assert verify(io.BytesIO(write()), LIMITS).root_files == ("main.py",)
