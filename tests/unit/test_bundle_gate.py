"""One hostile zip per hazard; each is refused before a byte is inflated, with its reason and a cure."""

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
from support.archives import Member, archive, folder, lay_out

LIMITS = BundleLimits()


def refusal(data: bytes, limits: BundleLimits = LIMITS) -> str:
    with pytest.raises(ArchiveRejectedError) as caught:
        inspect(io.BytesIO(data), limits)
    assert caught.value.metadata == {"field": "file"}
    return caught.value.message


def test_an_honest_zip_is_described() -> None:
    data = archive(
        Member("main.py", b"x" * 10), folder("pkg/"), Member("pkg/a.py", b"y" * 5000, deflate=True), Member("a b.txt")
    )

    bundle = inspect(io.BytesIO(data), LIMITS)

    assert [entry.name for entry in bundle.entries] == ["main.py", "pkg", "pkg/a.py", "a b.txt"]
    assert bundle.size_bytes == 5011
    assert bundle.root_files == ("a b.txt", "main.py")


def test_a_zip_with_everything_in_one_folder_is_taken_as_it_is() -> None:
    bundle = inspect(io.BytesIO(archive(folder("project/"), Member("project/main.py"))), LIMITS)

    assert bundle.root_files == ()


def test_at_most_a_thousand_root_files_are_named() -> None:
    data = archive(*(Member(f"{n:04}.py") for n in range(1005)))

    assert inspect(io.BytesIO(data), LIMITS).root_files == tuple(f"{n:04}.py" for n in range(1000))


NAMES = {
    "/etc/passwd": "absolute path",
    "//host/share": "absolute path",
    "C:main.py": "absolute path",
    "c:/main.py": "absolute path",
    "../evil.py": "'..' as a part",
    "a/../../evil.py": "'..' as a part",
    "a/..": "'..' as a part",
    "..": "'..' as a part",
    "./main.py": "'.' as a part",
    "a//b": "'' as a part",
    "": "'' as a part",
    "a//": "'' as a part",
    "..\\evil.py": "backslash",
    "a\x00.py": "control character",
    "a\n.py": "control character",
    "a\x1b[31m.py": "control character",
    "a\x85.py": "control character",
    "x" * 256: "256 bytes between slashes",
    "가" * 86: "258 bytes between slashes",
    "/".join("d" * 65): "65 folders deep",
    "/".join(["d" * 100] * 40): "name of 4039 bytes",
}


@pytest.mark.parametrize(("name", "reason"), NAMES.items(), ids=[ascii(name[:20]) for name in NAMES])
def test_a_dangerous_name_is_refused(name: str, reason: str) -> None:
    message = refusal(archive(Member("main.py"), Member(name)))

    assert reason in message
    assert len(message) < 400


def test_a_name_that_is_not_utf8_is_refused() -> None:
    assert "not UTF-8" in refusal(archive(Member("한글.py".encode("cp949"))))


def test_a_refused_name_is_shown_escaped_and_shortened() -> None:
    message = refusal(archive(Member("\x1b]0;evil\x07" + "x" * 200)))

    assert message.isprintable()
    assert len(message) < 250


def test_korean_names_pass_flagged_or_not() -> None:
    data = archive(Member("한글.py"), Member("도구/모듈.py", flags=1 << 11))

    assert inspect(io.BytesIO(data), LIMITS).root_files == ("한글.py",)


COLLISIONS = {
    "twice": ([Member("a.py"), Member("a.py")], "twice"),
    "folder twice": ([folder("a/"), folder("a/"), Member("a/b")], "twice"),
    "case": ([Member("Main.py"), Member("main.py")], "only in case"),
    "case of a folder": ([Member("Pkg/a.py"), Member("pkg/b.py")], "only in case"),
    "unicode form": ([Member("caf\u00e9.py"), Member("cafe\u0301.py")], "only in case"),
    "special casing": ([Member("stra\u00dfe"), Member("STRASSE")], "only in case"),
    "file then below it": ([Member("a"), Member("a/b")], "file and a folder"),
    "below it then file": ([Member("a/b"), Member("a")], "file and a folder"),
    "file and folder": ([Member("a"), folder("a/")], "file and a folder"),
}


@pytest.mark.parametrize(("members", "reason"), COLLISIONS.values(), ids=COLLISIONS)
def test_names_that_collide_somewhere_are_refused(members: list[Member], reason: str) -> None:
    assert reason in refusal(archive(*members))


def test_a_second_name_for_unicode_aware_readers_is_refused() -> None:
    other = b"\x01" + bytes(4) + b"../evil.py"
    extra = struct.pack("<2H", 0x7075, len(other)) + other

    assert "second name" in refusal(archive(Member("main.py", both={"extra": extra})))
    assert "second name" in refusal(archive(Member("main.py", local={"extra": extra})))


KINDS = {
    "link": (0o120777, "symbolic link; zip without links: `zip -r` follows them (do not use -y)"),
    "character device": (0o020666, "device"),
    "block device": (0o060666, "device"),
    "pipe": (0o010666, "device, pipe"),
    "socket": (0o140666, "device, pipe or socket"),
    "setuid": (0o104755, "setuid"),
    "setgid": (0o102755, "setuid or setgid"),
    "folder without slash": (0o040755, "not by both"),
}


@pytest.mark.parametrize(("mode", "reason"), KINDS.values(), ids=KINDS)
def test_what_is_not_a_plain_file_is_refused(mode: int, reason: str) -> None:
    assert reason in refusal(archive(Member("main.py"), Member("thing", b"/etc/passwd", mode=mode)))


def test_a_file_called_a_folder_is_refused() -> None:
    assert "not by both" in refusal(archive(Member("main.py"), Member("a/", b"", mode=0o100644)))


def test_a_folder_with_content_is_refused() -> None:
    assert "folder with content" in refusal(archive(Member("main.py"), Member("a/", b"hidden")))


def test_an_archive_without_files_is_refused() -> None:
    assert "no files" in refusal(archive())
    assert "no files" in refusal(archive(folder("a/"), folder("a/b/")))


@pytest.mark.parametrize("flag", [1 << 0, 1 << 6, 1 << 13])
def test_an_encrypted_entry_is_refused(flag: int) -> None:
    assert "encrypted" in refusal(archive(Member("main.py", flags=flag)))


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 95, 99])
def test_a_method_besides_store_and_deflate_is_refused(method: int) -> None:
    assert f"method {method}" in refusal(archive(Member("main.py", both={"method": method})))


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


def test_a_second_end_record_in_the_comment_is_refused() -> None:
    laid = lay_out([Member("shown.py")])
    second = laid.zip()[-22:]

    assert "more than one end record" in refusal(laid.zip(comment=second))


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


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 100, b"PK\x05\x06", b"\x1f\x8b" + bytes(500)], ids=repr)
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert "not a whole zip" in refusal(data)


def test_every_cut_off_zip_is_refused() -> None:
    data = archive(Member("a.py", b"content"), Member("b.py", bytes(900), deflate=True))

    for length in range(len(data)):
        refusal(data[:length])


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
