"""Normalises ids: a UUID in capitals, as some tools write it, is the same UUID (RFC 9562)."""

import re

_UUID = re.compile(r"(?:job-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def canonical_id(text: str) -> str:
    """Return a UUID, or a job id made of one, in lower case. Other ids are case-sensitive and returned unchanged."""
    return text.lower() if _UUID.fullmatch(text) else text
