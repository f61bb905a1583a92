"""Conditional and partial requests for a file (RFC 9110, sections 13 and 14), answered as S3 does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from nanogrid.errors import PreconditionFailedError, RangeNotSatisfiableError

HEADERS = frozenset(("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))

_TAG = re.compile(r'(W/)?"([^"]*)"')
_SPAN = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A file as its answers describe it: its size, its entity tag without quotes, the second of its last change."""

    size_bytes: int
    etag: str
    modified_s: int

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by which clients recognise this version."""
        modified = datetime.fromtimestamp(self.modified_s, UTC)
        return {"etag": f'"{self.etag}"', "last-modified": format_datetime(modified, usegmt=True)}


@dataclass(frozen=True, slots=True)
class Part:
    """A run of bytes of a file. `size_bytes` is at least 1."""

    first_byte: int
    size_bytes: int

    def content_range(self, file: File) -> str:
        """Return the Content-Range of this part."""
        return f"bytes {self.first_byte}-{self.first_byte + self.size_bytes - 1}/{file.size_bytes}"


def is_unchanged(headers: Mapping[str, str], file: File) -> bool:
    """Tell whether the client has this version already (304).

    PreconditionFailedError where it asks for another version.
    """
    if (tags := headers.get("if-match")) is not None:
        failed = not _names(tags, file.etag, weak=False)
    else:
        since = _seconds(headers.get("if-unmodified-since"))
        failed = since is not None and file.modified_s > since
    if failed:
        raise PreconditionFailedError("the file is not in the version that If-Match or If-Unmodified-Since names")
    if (tags := headers.get("if-none-match")) is not None:
        return _names(tags, file.etag, weak=True)
    since = _seconds(headers.get("if-modified-since"))
    return since is not None and file.modified_s <= since


def part_of(headers: Mapping[str, str], file: File) -> Part | None:
    """Return the part that the client asks for, None for the whole file. RangeNotSatisfiableError where there is none.

    Several parts at once, and what is no range of bytes, are answered with the whole file.
    """
    span = _SPAN.fullmatch(headers.get("range", ""))
    if span is None or not _is_current(headers.get("if-range"), file):
        return None
    first, last, suffix = (int(number) if number else None for number in span.groups())
    if first is None:
        size = min(suffix or 0, file.size_bytes)
        first = file.size_bytes - size
    else:
        if last is not None and last < first:
            return None  # no range at all, says the RFC
        size = min(file.size_bytes, last + 1 if last is not None else file.size_bytes) - first
    if size <= 0:
        raise RangeNotSatisfiableError(
            f"Range: {headers['range'][:64]!r} lies beyond the file, which has {file.size_bytes} bytes",
            field="Range",
            content_range=f"bytes */{file.size_bytes}",
        )
    return Part(first, size)


def _is_current(condition: str | None, file: File) -> bool:
    """Tell whether If-Range names this version: by its strong tag, or by its very time."""
    if condition is None:
        return True
    if _TAG.fullmatch(condition.strip()):
        return _names(condition, file.etag, weak=False)
    return _seconds(condition) == file.modified_s


def _names(tags: str, etag: str, *, weak: bool) -> bool:
    """Tell whether a list of entity tags holds this one, which is strong."""
    if tags.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(tags))


def _seconds(date: str | None) -> int | None:
    """Return the seconds since 1970 of a date, None for one that cannot be read: it counts as left out."""
    try:
        return int(parsedate_to_datetime(date or "").timestamp())
    except (ValueError, OverflowError):
        return None
