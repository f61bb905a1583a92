"""Parses the setting that names an SQS queue."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

__all__ = ["Address", "parse"]

_ABLE = "use sqs://queue-name or sqs:https://sqs.region.amazonaws.com/account/queue-name"
_NAME = re.compile(r"[\w-]{1,80}", re.ASCII)
_HOST = re.compile(r"(?:^|\.)sqs\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_HOLD_S = 43200.0  # SQS's own limit for one receive


@dataclass(frozen=True, slots=True)
class Address:
    """A queue by its name, and by its URL and region where they are given."""

    name: str
    url: str | None
    region: str | None
    hold_s: float


def parse(setting: str) -> Address:
    """Read `sqs://name` or `sqs:` + queue URL. `?hold_s=` shortens the longest hold. ValueError names the cure."""
    parts = urlsplit(setting)
    rest = setting.partition(":")[2].partition("?")[0]
    named = rest.startswith("//")
    url = None if named else rest
    name = rest[2:] if named else rest.rpartition("/")[2]
    query = parse_qs(parts.query, keep_blank_values=True)
    hold_s = _number(query.pop("hold_s", [str(_HOLD_S)])[-1])
    if name.endswith(".fifo"):
        raise ValueError(f"NANOGRID_QUEUE_URL: {name} is a FIFO queue; NanoGrid needs a standard queue")
    if not _NAME.fullmatch(name) or query or hold_s is None or not (named or re.match(r"https?://[^/]+/\w", rest)):
        raise ValueError(f"NANOGRID_QUEUE_URL: {setting!r} is not an SQS queue; {_ABLE}")
    where = _HOST.search(urlsplit(rest).hostname or "") if url else None
    return Address(name, url, where[1] if where else None, hold_s)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number <= _HOLD_S else None
