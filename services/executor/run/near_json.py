"""Tells text that was meant as JSON from text that only looks a little like it. Pure, in time linear in its length.

Meant as JSON are objects and lists as other languages write them (`{'a': None}`, `{ a: 1 }`, `[1, nan]`), JSON that
is cut short, NaN and infinities. Other text in brackets is a log's, or a language's own notation that no JSON
resembles: `[INFO] done`, `[main]`, `[1 2 3]`, `[5 rows x 3 columns]`.
"""

import re

_EXAMINED_BYTES = 1_000_000  # of text that begins like JSON, to find out whether it is cut short
_STRING = rb"""(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')"""
_STRINGS = re.compile(_STRING)

_NOT_A_NUMBER = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_WORD = rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff-]*+"
_SCALAR = (
    rb"(?:[+-]?(?:0[xX][0-9a-fA-F]++|(?:\d[\d_]*+\.?+\d*+|\.\d++)(?:[eE][+-]?\d++)?+|(?i:nan|inf|infinity))n?+"
    rb"|(?i:none|true|false|null|nil|undefined))"
)
# What an object begins with: a name in quotes or without, a comment, or nothing; not the `http:` of an address.
_IN_OBJECT = rb"\s*+(?:[\"']|(?:" + _WORD + rb"|-?\d++)\s*+:(?!//)|\}|//|/\*)"
_OBJECT = re.compile(rb"\{" + _IN_OBJECT)
# What a list begins with: a string, an object, or a value before a comma or the end, in as many lists as there are.
_LIST = re.compile(rb"\[[\s\[]*+(?:[\"']|\{" + _IN_OBJECT + rb"|" + _SCALAR + rb"\s*+[,\]])")
_BEGUN = re.compile(rb"\{\s*+[\"']|\[[\s\[]*+[\"'{]")


def is_nearly_json(text: bytes) -> bool:
    """Return whether text that is not JSON was meant to be."""
    if _NOT_A_NUMBER.fullmatch(text) or _TEXT.fullmatch(text):
        return True
    closing = {b"{": b"}", b"[": b"]"}.get(text[:1])
    if closing is None or not (_OBJECT.match(text) or _LIST.match(text)):
        return False
    if text.rstrip(b" \t\r\n,;").endswith(closing):
        return True
    return bool(_BEGUN.match(text)) and _is_cut_short(text)


def without_strings(text: bytes) -> bytes:
    """Leave out what stands in quotes, single or double, within one line."""
    return _STRINGS.sub(b"", text)


def _is_cut_short(text: bytes) -> bool:
    if len(text) > _EXAMINED_BYTES:
        return True
    bare = without_strings(text)
    opened = bare.count(b"{") + bare.count(b"[")
    return opened > bare.count(b"}") + bare.count(b"]")
