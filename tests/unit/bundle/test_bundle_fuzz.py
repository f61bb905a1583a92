"""Whatever bytes come in: only our errors go out, nothing is written elsewhere, no limit is passed."""

import io
import os
import tempfile
import zipfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanogrid.bundle import BundleLimits, inspect, unpack, verify
from nanogrid.errors import ArchiveRejectedError, TooLargeError
from support.archives import Member, archive, folder, lay_out

LIMITS = BundleLimits(unpacked_bytes=20_000, entries=12, ratio=10, ratio_from_bytes=1_000)

SEEDS = [
    archive(
        Member("main.py", b"x = 1\n" * 40, deflate=True), folder("a/"), Member("a/b.py", b"y"), Member("run", b"z")
    ),
    archive(Member("s.py", b"abc", flags=8, after=b"PK\x07\x08" + bytes.fromhex("c2412435") + b"\x03\0\0\0\x03\0\0\0")),
    lay_out([Member("main.py", os.urandom(300), deflate=True), Member("b.py")]).zip64(),
    lay_out([Member("main.py")]).zip(comment=b"a comment"),
]

byte_changes = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8)
cuts = st.tuples(st.integers(0, 2000), st.integers(0, 2000))


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }  # fmt: skip


def attempt(data: bytes) -> bool:
    """Unpack into a fresh folder; whether it passed. Asserts every promise of the gate on the way."""
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "outer", "target")
        target.parent.mkdir()
        refusal = ""
        try:
            bundle = unpack(io.BytesIO(data), target, LIMITS)
        except (ArchiveRejectedError, TooLargeError) as error:
            refusal = error.message
        if refusal:
            assert refusal.isprintable()
            assert everything(Path(place)) == {"outer": None}
            return False
        found = everything(target)
        assert set(everything(Path(place))) == {"outer", "outer/target"} | {f"outer/target/{name}" for name in found}
        assert sum(len(content or b"") for content in found.values()) == bundle.size_bytes <= LIMITS.unpacked_bytes
        assert len(found) <= LIMITS.entries
        assert not any(path.is_symlink() for path in target.rglob("*"))
        return True


def test_the_seeds_themselves_pass() -> None:
    assert all(attempt(seed) for seed in SEEDS)


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), byte_changes)
def test_changed_bytes_raise_nothing_but_refusals(seed: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value

    attempt(bytes(data))


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), cuts, st.binary(max_size=40))
def test_removed_and_inserted_bytes_raise_nothing_but_refusals(seed: bytes, cut: tuple[int, int], put: bytes) -> None:
    start, stop = sorted(position % (len(seed) + 1) for position in cut)

    attempt(seed[:start] + put + seed[stop:])


@settings(max_examples=200)
@given(st.binary(max_size=300))
@example(b"PK\x05\x06" + bytes(18))
def test_random_bytes_raise_nothing_but_refusals(data: bytes) -> None:
    assert not attempt(data)


HEADER = st.sampled_from(["flags", "method", "crc", "packed", "size", "disk", "external"])
WORDS = st.sampled_from([0, 1, 2, 8, 9, 0x41, 0x8000, 0xFFFE, 0xFFFF])
NAMES = st.sampled_from(["a", "A", "a/", "a/b", "../a", "/a", "a\\b", "é", "e\u0301", "b.py", "x" * 256])
MEMBERS = st.builds(
    Member,
    name=NAMES | st.binary(min_size=1, max_size=6),
    content=st.binary(max_size=50) | st.just(bytes(1500)),
    deflate=st.booleans(),
    mode=st.none() | st.integers(0, 0xFFFF),
    flags=st.sampled_from([0, 0, 0, 8, 2048]),
    local=st.dictionaries(HEADER, WORDS, max_size=1),
    central=st.dictionaries(HEADER, WORDS, max_size=1),
    both=st.dictionaries(HEADER, WORDS, max_size=1),
    after=st.just(b"") | st.binary(max_size=24),
)


@settings(max_examples=600)
@given(st.lists(MEMBERS, max_size=4))
def test_well_formed_lies_raise_nothing_but_refusals(members: list[Member]) -> None:
    attempt(archive(*members))


PARTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=12
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255 and part[1:2] != ":")
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=600), min_size=1, max_size=5
)


@settings(max_examples=200)
@given(TREES, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_what_passes_comes_out_as_it_went_in(tree: dict[str, bytes], compression: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as packer:
        for name, content in tree.items():
            packer.writestr(name, content)
    wide = BundleLimits()
    refusal = ""
    try:
        inspect(packed, wide)
    except ArchiveRejectedError as error:
        refusal = error.message
    if refusal:  # two of the names collide: seldom, and right to refuse
        assert "differs" in refusal or "file and a folder" in refusal
        return

    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "target")
        assert verify(packed, wide) == unpack(packed, target, wide)
        files = {name: content for name, content in everything(target).items() if content is not None}
        assert files == tree
