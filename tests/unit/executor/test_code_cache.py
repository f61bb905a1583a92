import asyncio
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.bundle import BundleLimits
from nanogrid.errors import ArchiveRejectedError, NotFoundError
from services.executor.code.cache import CodeCache


def bundle(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", text)
    return packed.getvalue()


class Bundles:
    """Bundles by key, and how often each was fetched."""

    def __init__(self) -> None:
        self.by_key: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def put(self, key: str, text: str) -> str:
        self.by_key[key] = bundle(text)
        return hashlib.sha256(self.by_key[key]).hexdigest()

    async def fetch(self, key: str) -> AsyncIterator[str | bytes]:
        if key not in self.by_key:
            raise NotFoundError(key)
        self.fetched.append(key)
        yield hashlib.sha256(self.by_key[key]).hexdigest()
        await asyncio.sleep(0)
        yield self.by_key[key]


@pytest.fixture
def bundles() -> Bundles:
    return Bundles()


@pytest.fixture
def cache(tmp_path: Path, bundles: Bundles) -> CodeCache:
    return CodeCache(tmp_path / "code", 1_000, bundles.fetch, BundleLimits())


async def read(cache: CodeCache, key: str, digest: str) -> str:
    async with cache.checked_out(key, digest) as folder:
        return (folder / "main.py").read_text()


async def test_code_is_fetched_once_per_digest(cache: CodeCache, bundles: Bundles) -> None:
    digest = bundles.put("a", "one")

    assert [await read(cache, "a", digest) for _ in range(3)] == ["one"] * 3
    assert bundles.fetched == ["a"]


async def test_many_at_once_share_one_download(cache: CodeCache, bundles: Bundles) -> None:
    digest = bundles.put("a", "one")

    assert await asyncio.gather(*(read(cache, "a", digest) for _ in range(20))) == ["one"] * 20
    assert bundles.fetched == ["a"]


async def test_the_same_code_under_many_keys_at_once_is_one_folder(
    cache: CodeCache, bundles: Bundles, tmp_path: Path
) -> None:
    digests = {f"key-{number}": bundles.put(f"key-{number}", "same") for number in range(50)}

    texts = await asyncio.gather(*(read(cache, key, digest) for key, digest in digests.items()))

    assert texts == ["same"] * 50
    assert len(list((tmp_path / "code").iterdir())) == 1


async def test_an_unknown_digest_is_asked_for_and_learnt(cache: CodeCache, bundles: Bundles) -> None:
    bundles.put("a", "one")

    assert await read(cache, "a", "") == "one"
    assert await read(cache, "a", "") == "one"


async def test_the_longest_unused_goes_first_and_what_is_in_use_stays(
    cache: CodeCache, bundles: Bundles, tmp_path: Path
) -> None:
    digests = [bundles.put(name, name * 400) for name in "abc"]  # two of them fit
    async with cache.checked_out("a", digests[0]) as used:
        await read(cache, "b", digests[1])
        await read(cache, "c", digests[2])

        assert (used / "main.py").exists()
        assert {path.name for path in (tmp_path / "code").iterdir()} == {digests[0], digests[2]}


async def test_missing_and_hostile_code_leave_nothing(cache: CodeCache, bundles: Bundles, tmp_path: Path) -> None:
    bundles.by_key["bad"] = b"PK\x03\x04 nonsense"

    with pytest.raises(NotFoundError):
        await read(cache, "none", "")
    with pytest.raises(ArchiveRejectedError):
        await read(cache, "bad", "")

    assert list((tmp_path / "code").iterdir()) == []


async def test_a_source_file_becomes_a_folder_of_its_own(cache: CodeCache, tmp_path: Path) -> None:
    async with cache.written("pkg/app.py", b"one") as first, cache.written("pkg/app.py", b"one") as again:
        assert first == again
        assert (first / "pkg" / "app.py").read_bytes() == b"one"
        modes = [oct(path.stat().st_mode & 0o7777) for path in (first, first / "pkg", first / "pkg" / "app.py")]
        assert modes == ["0o755", "0o755", "0o644"]
    async with cache.written("pkg/app.py", b"two") as other, cache.written("app.py", b"one") as elsewhere:
        assert len({first, other, elsewhere}) == 3
        assert len(elsewhere.name) == 64, "builds are known by a digest"


async def test_source_files_are_evicted_like_bundles(cache: CodeCache, tmp_path: Path) -> None:
    async with cache.written("main.py", b"x" * 600) as used:
        for letter in (b"a", b"b", b"c"):
            async with cache.written("main.py", letter * 600) as folder:
                assert folder.exists()

        assert used.exists()
        assert {path.name for path in (tmp_path / "code").iterdir()} == {used.name, folder.name}


async def test_many_at_once_in_a_cache_that_is_too_small_all_find_their_code(
    cache: CodeCache, bundles: Bundles
) -> None:
    digests = {name: bundles.put(name, name * 400) for name in "abcdefgh"}

    async def use(name: str) -> None:
        for _ in range(10):
            assert await read(cache, name, digests[name]) == name * 400
            async with cache.written("main.py", name.encode() * 400) as folder:
                assert (folder / "main.py").read_text() == name * 400

    await asyncio.gather(*(use(name) for name in digests for _ in range(2)))
