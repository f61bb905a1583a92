"""Generates JSON for property tests."""

from typing import Any

from hypothesis import strategies as st

_DEPTH = 3


def nested(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Generate these leaves, bare or nested in lists and objects. Built by level, because `st.recursive` was flaky."""
    values = leaves
    for _ in range(_DEPTH):
        values = leaves | st.lists(values, max_size=4) | st.dictionaries(names, values, max_size=4)
    return values


_BLANKS = st.text(alphabet=" \t", max_size=2).map(str.encode)
_ESCAPES = st.sampled_from(
    [rb"\u0041", rb"\u00e9", rb"\ud83d\ude00", rb"\/", rb"\b", rb"\f", rb"\n", rb"\"", rb"\\", rb"\\u", rb"\u0000"]
)
_PLAIN = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters='"\\'), max_size=4).map(str.encode)
_STRINGS = st.lists(_ESCAPES | _PLAIN, max_size=4).map(lambda parts: b'"' + b"".join(parts) + b'"')
_DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=40)
_NUMBERS = st.builds(
    lambda sign, whole, fraction, exponent: (sign + (whole.lstrip("0") or "0") + fraction + exponent).encode(),
    st.sampled_from(["", "-"]),
    _DIGITS,
    st.just("") | _DIGITS.map(lambda digits: f".{digits}"),
    st.sampled_from(["", "e5", "E+10", "e-0", "E400"]),
)
_WORDS = st.sampled_from([b"null", b"true", b"false"])


def json_texts() -> st.SearchStrategy[bytes]:
    """Generate unusual JSON texts: long numbers, needless escapes, blanks, duplicate names, deep nesting."""
    texts = _STRINGS | _NUMBERS | _WORDS
    for _ in range(_DEPTH):
        items = st.tuples(_BLANKS, texts, _BLANKS).map(b"".join)
        members = st.tuples(_STRINGS, _BLANKS, st.just(b":"), _BLANKS, texts).map(b"".join)
        texts = (
            texts
            | st.lists(items, max_size=4).map(lambda found: b"[" + b",".join(found) + b"]")
            | st.lists(members, max_size=4).map(lambda found: b"{" + b",".join([*found, *found[:1]]) + b"}")
        )
    return st.builds(
        lambda depth, text: b"[" * depth + text + b"]" * depth, st.sampled_from([0, 0, 0, 1, 100, 500]), texts
    )
