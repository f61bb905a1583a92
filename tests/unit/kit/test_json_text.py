"""JSON text that is checked and cut, never opened."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.json_text import MAX_DEPTH, JsonError, check_json, cut_members
from support.json_values import json_texts

NOT_JSON = [
    *(b"", b" ", b"{", b"[1,]", b"[,1]", b'{"a":1,}', b'{"a"}', b"{a:1}", b"{'a':1}", b"[1 2]", b"1 2", b"[1}"),
    *(b"[1]]", b"01", b"-01", b"1.", b".5", b"-", b"+1", b"1e", b"1e+", b"2.e3", b"NaN", b"Infinity", b"-Infinity"),
    *(b"tru", b"nul", b'"', b'"a\x01b"', b'"a\nb"', b'"\\x41"', b'"\\u12"', b'"\\ud800"', b'"\\', b'["\\"]'),
    *(
        b"/* */ 1",
        b"\x0b1",
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'{"\xff":1}',
        b"\xef\xbb\xbf1",
        b"\xff\xfe1\x00",
    ),
]
LONG_NUMBERS = [b"123456789012345678901234567890", b"1.00000000000000000000000001", b"1e999999", b"-0", b"9" * 10_000]


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_not_json_is_refused_with_a_reason(text: bytes) -> None:
    with pytest.raises(JsonError, match=r"is not (JSON|UTF-8)"):
        check_json(text)
    with pytest.raises(JsonError, match=r"is not (JSON|UTF-8)"):
        cut_members(b'{"payload":' + text + b"}")


@pytest.mark.parametrize("text", LONG_NUMBERS)
def test_numbers_of_any_size_pass(text: bytes) -> None:
    check_json(text)

    assert cut_members(b'{"n":' + text + b"}") == {"n": text}


@pytest.mark.parametrize("text", [b"[]", b"1", b'"a"', b"null"])
def test_only_an_object_has_members(text: bytes) -> None:
    with pytest.raises(JsonError, match="is not a JSON object"):
        cut_members(text)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"[":', b"}"), (b'[{"\\"{":[', b"]}]")])
def test_depth_is_counted_outside_of_strings_and_has_a_limit(opening: bytes, closing: bytes) -> None:
    times = MAX_DEPTH // len(closing)
    fits = opening * times + b"1" + closing * times

    check_json(fits)
    with pytest.raises(JsonError, match=f"more than {MAX_DEPTH} levels") as refused:
        cut_members(b'{"deep":' + opening + fits + closing + b"}")
    assert refused.value.member == "deep"


@pytest.mark.parametrize("depth", [1_000, 100_000, 5_000_000])
def test_a_bottomless_text_is_refused_however_deep(depth: int) -> None:
    with pytest.raises(JsonError, match="levels"):
        check_json(b"[" * depth + b"]" * depth)


def test_brackets_in_strings_are_no_depth() -> None:
    check_json(json.dumps(["[{" * 1_000, '"[', "\\[" * 1_000, {"]": "}"}]).encode())


@given(json_texts())
def test_every_value_is_cut_out_as_it_stands(text: bytes) -> None:
    check_json(text)

    assert cut_members(b'{ "before" : 1, "payload" :\t' + text + b' , "after":[]}')["payload"] == text


@given(st.binary(max_size=100))
def test_any_bytes_are_passed_on_or_refused(text: bytes) -> None:
    try:
        check_json(text)
    except JsonError:
        return
    json.loads(text.decode())


@given(st.text(alphabet='[]{}",:\\ au1e-.0nulltrue', max_size=40))
def test_it_agrees_with_the_standard_library(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda _: pytest.fail("no constant is in this alphabet"))
        valid = True
    except ValueError:
        valid = False

    try:
        check_json(text.encode())
        assert valid
    except JsonError:
        assert not valid or "\\u" in text  # half a surrogate pair, which the library takes
