"""Signed URLs open one file, until they expire; the secret behind them is made once."""

import stat
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from nanogrid.errors import NotFoundError
from services.artifacts.signing import UrlSigner, ensure_secret

SECRET = bytes(range(32))
KEY = "outputs/job-1/한글 파일 100%.txt"


class Clock:
    now = 1_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(clock: Clock) -> UrlSigner:
    return UrlSigner(SECRET, clock)


def taken_apart(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query, strict_parsing=True)
    return unquote(parts.path).removeprefix("/"), int(query["expires"][0]), query["signature"][0]


def test_a_url_opens_its_file_until_it_expires(signer: UrlSigner, clock: Clock) -> None:
    url = signer.url(KEY, 60)

    key, expires_at_s, signature = taken_apart(url)
    assert url.isascii()
    assert (key, expires_at_s) == (KEY, 1_000_060)
    signer.check(key, expires_at_s, signature)
    clock.now = 1_000_059.9
    signer.check(key, expires_at_s, signature)
    clock.now = 1_000_060
    with pytest.raises(NotFoundError):
        signer.check(key, expires_at_s, signature)


def test_nothing_about_a_url_can_be_changed(signer: UrlSigner) -> None:
    key, expires_at_s, signature = taken_apart(signer.url(KEY, 60))

    for forged in (
        (key + "x", expires_at_s, signature),
        (key.replace("job-1", "job-2"), expires_at_s, signature),
        (key, expires_at_s + 1, signature),
        (key, 0, signature),
        (key, -1, signature),
        (key, expires_at_s, signature[:-1]),
        (key, expires_at_s, signature.upper()),
        (key, expires_at_s, ""),
        (key, expires_at_s, "é" * 64),
        (key, expires_at_s, "\ud800"),
        ("", expires_at_s, signature),
    ):
        with pytest.raises(NotFoundError):
            signer.check(*forged)


def test_another_secret_signs_otherwise(signer: UrlSigner, clock: Clock) -> None:
    with pytest.raises(NotFoundError):
        UrlSigner(bytes(32), clock).check(*taken_apart(signer.url(KEY, 60)))


def test_expiry_and_key_cannot_flow_into_each_other(signer: UrlSigner) -> None:
    _, expires_at_s, signature = taken_apart(signer.url("a", 60))

    with pytest.raises(NotFoundError):
        signer.check(f"{expires_at_s}\na", 0, signature)


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "artifacts" / "url-secret"

    first = ensure_secret(path)

    assert len(first) == 32
    assert ensure_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert ensure_secret(tmp_path / "other") != first


def test_all_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "url-secret"
    barrier = threading.Barrier(16)
    found: set[bytes] = set()

    def start() -> None:
        barrier.wait()
        found.add(ensure_secret(path))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {path.read_bytes()}
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_was_cut_off_is_not_used() -> None:
    with pytest.raises(ValueError, match="secret"):
        UrlSigner(b"short")
