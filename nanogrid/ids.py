"""Ids in one spelling: a UUID in capitals, as some tools write it, is the same UUID (RFC 9562)."""

import re

_UUID = re.compile(r"(?:job-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def canonical_id(text: str) -> str:
    """Return a UUID, or a job's id made of one, in lower case. Any other id is returned as it is: case counts there."""
    return text.lower() if _UUID.fullmatch(text) else text
