"""Zips whose parts contradict each other, or hide something between them; none is inflated."""

import io
import struct
import zipfile

import pytest

from nanogrid.bundle import inspect, verify
from nanogrid.errors import TooLargeError
from support import archives
from support.archives import Member, archive, lay_out
from support.bundles import LIMITS, refusal

LIES = {
    "name": {"name": b"evil.py"},
    "flags": {"flags": 1 << 11},
    "method": {"method": 8},
    "crc": {"crc": 1},
    "packed size": {"packed": 3},
    "size": {"size": 3},
    "zeroed without descriptor": {"crc": 0, "packed": 0, "size": 0},
    "signature": {"signature": b"PK\x03\x05"},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_local_header_that_contradicts_the_directory_is_refused(lie: dict[str, object]) -> None:
    assert "described differently" in refusal(archive(Member("main.py", b"content", local=lie)))


def test_a_stored_entry_with_two_sizes_is_refused() -> None:
    assert "two sizes differ" in refusal(archive(Member("main.py", b"content", both={"size": 9_000})))


def test_entries_that_share_their_content_are_refused() -> None:
    bomb = archives.overlap_bomb(copies=1000, kernel_bytes=900_000)

    assert "overlaps" in refusal(bomb)
    assert len(bomb) < 60_000


def test_an_entry_quoted_inside_another_is_refused() -> None:
    assert "overlaps" in refusal(archives.quoted_overlap(b"x = 1"))


def test_content_that_reaches_into_the_directory_is_refused() -> None:
    grown = {"packed": 40, "size": 40}

    assert "overlaps" in refusal(archive(Member("a.py"), Member("b.py", both=grown)))


def test_bytes_before_the_first_entry_are_refused() -> None:
    stub = b"#!/bin/sh\n"

    assert "before" in refusal(lay_out([Member("main.py")], prefix=stub).zip())
    assert "before" in refusal(stub + archive(Member("main.py")))


def test_bytes_hidden_between_entries_are_refused() -> None:
    assert "followed by 6 bytes" in refusal(archive(Member("a.py", after=b"hidden"), Member("b.py")))


def test_bytes_hidden_before_the_directory_are_refused() -> None:
    assert "followed by 6 bytes" in refusal(archive(Member("a.py", after=b"hidden")))


def test_bytes_hidden_before_the_end_record_are_refused() -> None:
    assert "between" in refusal(lay_out([Member("a.py")]).zip(middle=b"hidden"))


def test_bytes_after_the_end_are_refused() -> None:
    assert "whole zip" in refusal(archive(Member("a.py")) + b"hidden")


def test_an_entry_that_is_not_in_the_directory_is_refused() -> None:
    laid = lay_out([Member("shown.py"), Member("hidden.py")])
    shown = lay_out([Member("shown.py")]).directory

    assert "belong to no entry" in refusal(archives.Laid(laid.body, shown, 1).zip())


def test_a_comment_is_harmless() -> None:
    data = lay_out([Member("main.py")]).zip(comment=b"0123456789abcdef" * 2)

    assert inspect(io.BytesIO(data), LIMITS).root_files == ("main.py",)


@pytest.mark.parametrize("behind", [b"", b"x", bytes(9), b"x" * 30], ids=repr)
def test_a_second_end_record_in_the_comment_is_refused(behind: bytes) -> None:
    laid = lay_out([Member("shown.py")])
    second = laid.zip()[-22:]

    assert "more than one end record" in refusal(laid.zip(comment=second + behind))
    assert "more than one end record" in refusal(laid.zip(comment=second[:4] + behind))
    refusal(laid.zip() + bytes(100) + second)


def test_a_signature_within_an_entry_is_no_end_record() -> None:
    inner = archive(Member("inner.py"))

    assert inspect(io.BytesIO(archive(Member("inner.zip", inner))), LIMITS).root_files == ("inner.zip",)


def test_zeros_that_fill_up_the_last_block_are_harmless_and_nothing_else_is() -> None:
    data = lay_out([Member("main.py")]).zip(comment=b"made by a packer")

    for zeros in (1, 10_240 - len(data), 0xFFFF):
        assert inspect(io.BytesIO(data + bytes(zeros)), LIMITS).root_files == ("main.py",)
    for more in (bytes(0x10000), bytes(9) + b"x", b"x" + bytes(9), bytes(9) + data):
        refusal(data + more)


SPLIT = ({"disk": 1}, {"first": 1}, {"here": 0})


@pytest.mark.parametrize("over", SPLIT, ids=str)
def test_an_archive_split_over_files_is_refused(over: dict[str, int]) -> None:
    assert "split over several files" in refusal(lay_out([Member("main.py")]).zip(**over))


def test_an_entry_on_another_disk_is_refused() -> None:
    assert "split over several files" in refusal(archive(Member("main.py", central={"disk": 3})))


def test_a_directory_with_more_than_its_records_is_refused() -> None:
    laid = lay_out([Member("a.py"), Member("b.py")])
    padded = archives.Laid(laid.body, laid.directory + b"hidden", 2)

    assert "another size" in refusal(laid.zip(here=1, entries=1))
    assert "another size" in refusal(padded.zip())


def test_a_directory_with_fewer_records_than_counted_is_refused() -> None:
    refusal(lay_out([Member("a.py")]).zip(here=2, entries=2))


def test_a_record_without_its_signature_is_refused() -> None:
    assert "broken table of contents" in refusal(archive(Member("a.py", central={"signature": b"PK\x01\x03"})))


def test_a_descriptor_behind_the_content_is_understood() -> None:
    content = b"streamed"
    f = Member("a.py", content).fields()
    numbers = struct.pack("<3L", f["crc"], len(content), len(content))
    wide = struct.pack("<L2Q", f["crc"], len(content), len(content))
    zero = {"crc": 0, "packed": 0, "size": 0}

    for after in (numbers, b"PK\x07\x08" + numbers, wide, b"PK\x07\x08" + wide):
        data = archive(Member("a.py", content, flags=8, local=zero, after=after), Member("b.py"))
        assert len(verify(io.BytesIO(data), LIMITS).entries) == 2


def test_a_descriptor_that_lies_is_refused() -> None:
    content = b"streamed"
    lie = struct.pack("<3L", 0, len(content), len(content))

    message = refusal(archive(Member("a.py", content, flags=8, after=lie), Member("b.py")))

    assert "do not describe it" in message


class TestZip64:
    """Sizes in 64 bits are read where the format puts them, and only where everything agrees."""

    def test_streamed_zip64_is_understood(self) -> None:
        unseekable = io.BytesIO()
        unseekable.seekable = lambda: False  # type: ignore[method-assign]
        with (
            zipfile.ZipFile(unseekable, "w", zipfile.ZIP_DEFLATED) as packer,
            packer.open("main.py", "w", force_zip64=True) as target,
        ):
            target.write(b"print(1)\n" * 100)

        assert verify(io.BytesIO(unseekable.getvalue()), LIMITS).size_bytes == 900

    def test_a_zip64_end_record_is_understood(self) -> None:
        laid = lay_out([Member("main.py")])

        for data in (laid.zip64(), laid.zip64(here=0xFFFF, entries=0xFFFF, size=0xFFFFFFFF, offset=0xFFFFFFFF)):
            assert inspect(io.BytesIO(data), LIMITS).root_files == ("main.py",)

    def test_end_records_that_contradict_each_other_are_refused(self) -> None:
        laid = lay_out([Member("shown.py"), Member("hidden.py")])

        assert "contradict" in refusal(laid.zip64(here=1, entries=1))

    @pytest.mark.parametrize("wide", [{"position": 0}, {"length": 45}, {"disk": 1}, {"here": 9}, {"disks": 2}], ids=str)
    def test_a_broken_zip64_end_record_is_refused(self, wide: dict[str, int]) -> None:
        refusal(lay_out([Member("main.py")]).zip64(wide=wide))

    def test_bytes_hidden_behind_a_zip64_end_record_are_refused(self) -> None:
        laid = lay_out([Member("main.py")])
        wide = archives.end_record64(laid.directory, len(laid.body), 1)

        assert "not where it says" in refusal(laid.zip(middle=wide[:56] + b"hidden" + wide[56:]))

    def test_wide_sizes_of_an_entry_count_against_the_limit(self) -> None:
        huge = struct.pack("<2H2Q", 1, 16, 1 << 40, 1 << 40)
        full = {"extra": huge, "size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}

        with pytest.raises(TooLargeError, match="unpacked size"):
            inspect(io.BytesIO(archive(Member("a.py", both=full))), LIMITS)

    def test_a_short_or_doubled_wide_field_is_refused(self) -> None:
        short = struct.pack("<2HQ", 1, 8, 5)
        whole = struct.pack("<2H2Q", 1, 16, 1, 1)
        full = {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}

        assert "too short" in refusal(archive(Member("a.py", central=full | {"extra": short})))
        assert "extra field" in refusal(archive(Member("a.py", central=full | {"extra": whole * 2})))


def test_an_extra_field_longer_than_it_has_room_for_is_refused() -> None:
    assert "extra field" in refusal(archive(Member("a.py", both={"extra": struct.pack("<2H", 9, 100)})))


def test_every_cut_off_zip_is_refused() -> None:
    data = archive(Member("a.py", b"content"), Member("b.py", bytes(900), deflate=True))

    for length in range(len(data)):
        refusal(data[:length])
