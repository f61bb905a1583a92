"""Reads the headers of a form's parts, and file names as browsers, .NET, Java and Python's clients spell them.

A name may be UTF-8 with `"` and line breaks as `%22`, `%0D` and `%0A` (browsers, curl), backslash-escaped (Go, older
curl), in encoded words (RFC 2047: .NET), extended (RFC 8187: requests, .NET beside the plain name), or extended and cut
into sections (RFC 2231: mail libraries).
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

from nanogrid.errors import InvalidFieldError

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_BROWSERS = re.compile("%(22|0D|0A)", re.IGNORECASE)
# Python's own encodings, which no client sends; some take a time that grows with the square of the text.
_NO_CHARSETS = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"))
_MOST_SECTIONS = 64  # of a name: a header has no room for more


def parameters_of(header: bytes) -> dict[str, str]:
    """Return the parameters of a header, the last of a name. Bytes that are no UTF-8 stay as lone surrogates."""
    text = header.decode("utf-8", "surrogateescape")
    return {name.lower(): _unquoted(value.strip()) for name, value in _PARAMETER.findall(text)}


def filename_of(parameters: Mapping[str, str], field: str) -> str:
    """Return the name of a part's file: without folders, composed (NFC), its ending in lower case. "" without one.

    InvalidFieldError names `field` where the name cannot be decoded.
    """
    extended = _extended_of(parameters)
    name = _decoded_extended(extended) if extended else None
    if name is None:
        plain = parameters.get("filename", "")
        if extended and not plain:
            raise InvalidFieldError(field, f"its filename*={extended[:64]!r} is not charset'language'percent-encoded")
        name = _decoded_words(checked(plain, field), field)
    # Some clients send the path of the file on their disk; only its last part means anything here.
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) + suffix.lower()


def checked(text: str, field: str) -> str:
    """Return a parameter. InvalidFieldError for one that is not UTF-8."""
    if text.isprintable() or not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    raise InvalidFieldError(field, "is not UTF-8")


def charset_of(content_type: bytes) -> str:
    """Return the charset of a text field, which is UTF-8 where its part does not say another."""
    return parameters_of(content_type).get("charset", "") or "utf-8"


def decode_text(text: bytes, charset: str) -> str:
    """Decode a text field. LookupError for a charset that is not known, UnicodeError for text that is not in it."""
    if codecs.lookup(charset).name.replace("-", "_") in _NO_CHARSETS:
        raise LookupError(charset)
    return text.decode(charset)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return _ESCAPE.sub(r"\1", value[1:-1])
    return value


def _decoded_words(name: str, field: str) -> str:
    if "=?" in name:
        try:
            # Text between encoded words comes as bytes in this very encoding.
            return "".join(
                part if isinstance(part, str) else part.decode(charset or "raw-unicode-escape")
                for part, charset in decode_header(name)
            )
        except (HeaderParseError, LookupError, ValueError):
            raise InvalidFieldError(field, f"its filename {name[:64]!r} is not well-formed (RFC 2047)") from None
    return _BROWSERS.sub(lambda found: bytes.fromhex(found[1]).decode(), name)


def _extended_of(parameters: Mapping[str, str]) -> str:
    """Return the extended name, put together where it was cut into sections."""
    if "filename*" in parameters:
        return parameters["filename*"]
    sections = []
    for number in range(_MOST_SECTIONS):
        encoded, plain = parameters.get(f"filename*{number}*"), parameters.get(f"filename*{number}")
        if encoded is None and plain is None:
            break
        sections.append(encoded if encoded is not None else (plain or "").replace("%", "%25"))
    whole = "".join(sections)
    return whole if not whole or "filename*0*" in parameters else f"utf-8''{whole}"


def _decoded_extended(text: str) -> str | None:
    """Decode `charset'language'percent-encoded`. None where that cannot be."""
    charset, quote, rest = text.partition("'")
    _, second_quote, encoded = rest.partition("'")
    if not (quote and second_quote):
        return None
    try:
        return unquote_to_bytes(encoded).decode(charset or "utf-8")
    except (LookupError, ValueError):
        return None
