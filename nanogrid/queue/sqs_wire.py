"""Packs a message's bytes into SQS text, which excludes some characters."""

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["BATCH", "Entry", "attribute", "body_of", "message", "size_of"]

BATCH = 10  # messages that one call may carry

Entry = dict[str, Any]  # a message, or what is to happen to one, as a call to SQS has it

# What SQS refuses in a body (SendMessage in its API reference). JSON may contain U+FFFE and U+FFFF as they are.
_REFUSED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PACKED = "zlib+base64"
_MOST_BYTES = 1_048_576  # of a message when it is unpacked: the most that SQS would carry anyway
_MOST_TEXT = 1024  # characters of an attribute


def message(body: bytes, **attributes: str | int) -> Entry:
    """Return the body and its attributes (`_` becomes `-`), for SendMessage. An empty attribute is left out."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or _REFUSED.search(text):
        # Compressed first: whatever text there is in 192 KiB of UTF-8, it stays below the 256 KiB of older queues.
        text = base64.b64encode(zlib.compress(body)).decode()
        attributes["encoding"] = _PACKED
    return {
        "MessageBody": text,
        "MessageAttributes": {
            name.replace("_", "-"): {"DataType": "String", "StringValue": value}
            for name, given in attributes.items()
            if (value := _REFUSED.sub("?", str(given))[:_MOST_TEXT])
        },
    }


def size_of(entry: Entry) -> int:
    """Return the size as SQS counts it: the body, and each attribute's name, type and value."""
    attributes = entry["MessageAttributes"].items()
    extra = sum(len(name) + len(a["DataType"]) + len(a["StringValue"].encode()) for name, a in attributes)
    return len(entry["MessageBody"].encode()) + extra


def body_of(received: Mapping[str, Any]) -> bytes:
    """Return the bytes of a received message. One that says it is packed and is not comes as it is."""
    text: str = received["Body"]
    if attribute(received, "encoding") != _PACKED:
        return text.encode()
    try:
        unpacking = zlib.decompressobj()
        body = unpacking.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        return text.encode()
    return body if unpacking.eof else text.encode()


def attribute(received: Mapping[str, Any], name: str) -> str:
    """Return an attribute that travels with the message, or ""."""
    value: str = received.get("MessageAttributes", {}).get(name, {}).get("StringValue", "")
    return value
