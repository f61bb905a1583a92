"""One hostile zip per hazard; each is refused before a byte is inflated, with its reason and a cure."""

import io
import struct

import pytest

from nanogrid.bundle import inspect
from support.archives import Member, archive, folder
from support.bundles import LIMITS, refusal


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
    "././main.py": "'.' as a part",
    "a/./main.py": "'.' as a part",
    "a/./": "'.' as a part",
    ".": "'.' as a part",
    ".//etc/passwd": "absolute path",
    "./C:main.py": "absolute path",
    "./../evil.py": "'..' as a part",
    "./..": "'..' as a part",
    ".//": "absolute path",
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
    "twice from the root": ([Member("a.py"), Member("./a.py")], "twice"),
    "case from the root": ([Member("./Main.py"), Member("main.py")], "only in case"),
    "the root twice": ([folder("./"), folder("./"), Member("a.py")], "twice"),
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


@pytest.mark.parametrize("name", ["a/", "./"])
def test_a_folder_with_content_is_refused(name: str) -> None:
    assert "folder with content" in refusal(archive(Member("main.py"), Member(name, b"hidden")))


def test_an_archive_without_files_is_refused() -> None:
    assert "no files" in refusal(archive())
    assert "no files" in refusal(archive(folder("a/"), folder("a/b/")))
    assert "no files" in refusal(archive(folder("./")))


@pytest.mark.parametrize("flag", [1 << 0, 1 << 6, 1 << 13])
def test_an_encrypted_entry_is_refused(flag: int) -> None:
    assert "encrypted" in refusal(archive(Member("main.py", flags=flag)))


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 95, 99])
def test_a_method_besides_store_and_deflate_is_refused(method: int) -> None:
    assert f"method {method}" in refusal(archive(Member("main.py", both={"method": method})))


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 100, b"PK\x05\x06", b"\x1f\x8b" + bytes(500)], ids=repr)
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert "not a whole zip" in refusal(data)
