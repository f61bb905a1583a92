"""Checks messages and computes their digests and sizes, as SQS does."""

import base64
import re
from collections.abc import Iterable
from hashlib import md5 as hash_md5
from typing import Any

from support.sqs import faults

MOST_BYTES = 1_048_576  # of a message, and of a batch
_REFUSED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTES = 10  # maximum number


def md5(text: str) -> str:
    return hash_md5(text.encode(), usedforsecurity=False).hexdigest()


def attributes_md5(attributes: dict[str, Any]) -> str:
    """Return the digest of SQS's developer guide: sorted names, parts with lengths, a byte for the value's kind."""
    digest = hash_md5(usedforsecurity=False)
    for name in sorted(attributes):
        kind, value = attributes[name]["DataType"], _value(attributes[name])
        for part in (name.encode(), kind.encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update((b"\2" if kind.startswith("Binary") else b"\1") + len(value).to_bytes(4, "big") + value)
    return digest.hexdigest()


def _value(attribute: dict[str, Any]) -> bytes:
    if "BinaryValue" in attribute:
        return base64.b64decode(attribute["BinaryValue"])
    return str(attribute["StringValue"]).encode()


def size(entry: dict[str, Any]) -> int:
    """Return the size that counts against the limits: the body, and each attribute's name, type and value."""
    attributes = entry.get("MessageAttributes", {})
    extra = sum(len(name.encode()) + len(a["DataType"]) + len(_value(a)) for name, a in attributes.items())
    return len(entry["MessageBody"].encode()) + extra


def check_body(body: str) -> None:
    if not body:
        raise faults.SqsError("MissingParameter", "The request must contain the parameter MessageBody.")
    if _REFUSED.search(body):
        raise faults.SqsError("InvalidMessageContents", "Invalid characters found.")


def check_attributes(attributes: dict[str, Any]) -> None:
    if len(attributes) > _ATTRIBUTES:
        raise faults.invalid(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [10].")
    for name, attribute in attributes.items():
        if not re.fullmatch(r"[\w.-]{1,256}", name, re.ASCII) or not _value(attribute):
            raise faults.invalid(f"The message attribute '{name}' must have a valid name and contain non-empty value.")
        if attribute.get("StringValue") and _REFUSED.search(attribute["StringValue"]):
            raise faults.SqsError("InvalidMessageContents", "Invalid characters found.")


def is_asked(name: str, asked: Iterable[str]) -> bool:
    return any(one in ("All", ".*", name) or (one.endswith(".*") and name.startswith(one[:-1])) for one in asked)
