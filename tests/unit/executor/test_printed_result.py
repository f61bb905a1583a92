"""The result of a program, found in what it printed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.json_text import MAX_DEPTH
from services.executor.run.capture import LINE_BYTES, TAIL_BYTES, Capture
from services.executor.run.printed_result import printed_result
from services.executor.sandbox import CallError, OutputStream
from support.json_values import json_texts


def found(*pieces: bytes) -> bytes | CallError | None:
    capture = Capture()
    for piece in pieces:
        capture.take(OutputStream.STDOUT, piece)
    return printed_result(capture)


VALUE = {"a": [1, {"b": "}\n"}], "[": "{", "한": None}
PRETTY = json.dumps(VALUE, indent=2).encode()
FLAT = b'[\n{\n"a": 1\n},\n{\n"b": [\n2\n]\n}\n]'


@pytest.mark.parametrize(
    "printed", [b"1", b'"a"', b"null", b'{"a":1}', b" [1, 2]\t", b"18446744073709551616", b"1e400"]
)
def test_a_last_line_of_json_is_the_result_as_it_was_printed(printed: bytes) -> None:
    assert found(b"working\n", printed, b"\n \n") == printed.strip()


LISTED = b"[\n" + b",\n".join(b'{"id": %d, "say": "it\'s [%d"}' % (n, n) for n in range(500)) + b"\n]"
LOGGED = b"".join(b"[INFO] step %d {\n" % n for n in range(200)) + b"{'a': \"\n"


@pytest.mark.parametrize(
    "document",
    [PRETTY, FLAT, LISTED, b"{\n}", b"[\r\n  1\r\n]", b"[1,\n 2,\n\n 3]", json.dumps([VALUE] * 500, indent=1).encode()],
    ids=["pretty", "flat", "listed", "empty", "crlf", "tight", "large"],
)
def test_a_document_over_several_lines_that_ends_the_output_is_the_result(document: bytes) -> None:
    assert found(document) == document
    assert found(b"[log] started\n{not: this}\n", document, b"\n\n") == document
    assert found(b'{"level":"info"}\n', document) == document
    assert found(LOGGED, b"  ", document, b"\r\n") == document


@pytest.mark.parametrize("text", [b'{"a":1}', b'{\n "a": 1\n}'])
def test_a_byte_order_mark_is_no_part_of_the_result(text: bytes) -> None:
    assert found(b"\xef\xbb\xbf" + text + b"\n") == text


@pytest.mark.parametrize(
    "printed",
    [
        *(
            b"",
            b"\n",
            b"done",
            b"[INFO] done",
            b"[done]",
            b"{done}",
            b"None",
            b"True",
            b"a: {1}",
            b"]",
            b"x }",
            b"'text'",
        ),
        *(b"[2026-01-01 10:00:00] ready", b"[1/3] building", b"[12:30:01] up", b"[100%]", b"[5 rows x 3 columns]"),
        *(b"[1 2 3]", b"[[1. 2.]\n [3. 4.]]", b"{1 2}", b"map[a:1]", b"{http://localhost:8080}", b"[main] {ok}"),
        *(
            b'{"a": 1} saved',
            b"['a', 'b'] are done",
            b"Result: {\n}",
            b"int main() {\n}",
            b"[INFO] {\n}",
            b"Infinity War",
        ),
        *(b'she said "no"', b"{name} and {age}", b"[ERROR: disk full]", b"nanosecond", b"[y/n]", b"[x] task", b"{}{"),
    ],
)
def test_other_text_is_no_result(printed: bytes) -> None:
    assert found(b'{"earlier": 1}\n' + printed + b"\n") is None or not printed.strip()


def test_a_json_line_before_other_text_is_not_the_result() -> None:
    assert found(b'{"earlier": 1}\nbye\n') is None


@pytest.mark.parametrize(
    "printed",
    [
        *(b"NaN", b"-Infinity", b"[1, NaN]", b'{"a": Infinity}', b"{'a': 1}", b"['a', None]", b'{"a": 1,}', b"[1, 2,]"),
        *(b"{ a: 1, b: [ 'x' ] }", b'{"a": True}', b"{\n  'a': 1\n}", b"{\n  a: 1,\n  b: 2\n}", b"[\n  1,\n  NaN\n]"),
        *(b"nan", b"-nan", b"+Inf", b"inf", b"[ { a: 1 }, { a: 2 } ]", b"[ undefined ]", b"[None]", b"[[nan, 1.0]]"),
        *(b"{'a': 1,\n 'b': 2}", b"[{'a': 1},\n {'a': 2}]", b"{1: 'x'}", b"{Name:x Age:3}", b'{"a": .5}', b"[01, 2]"),
        *(
            b'{"a": 1, "b": [1, 2',
            b'{"a": "cut',
            b'[{"a": 1}, {',
            b'{\n  "a": 1,\n  "b": 2,',
            b'{"a": 1},',
            b'{"a":1};',
        ),
        *(b'{"a":1}{"b":2}', b"{'at': datetime.datetime(2026, 1, 1)}", b'{"a": 1 /* one */}', b"{ // none\n}"),
        *(
            b'["' + b"x" * 100_000 + b'", NaN]',
            b'{"a": "tab\there"}',
            b"[+1]",
            b"[0x1F]",
            b"[1_000, 2]",
            b"[{}, {a: 1}]",
        ),
    ],
)
def test_what_is_nearly_json_says_why_it_is_not(printed: bytes) -> None:
    error = found(b"working\n" + printed + b"\n")

    assert isinstance(error, CallError), error
    assert error.type == "ResultInvalid"
    assert "is not JSON" in error.message
    assert "double quotes" in error.message
    assert len(error.message) < 300


@pytest.mark.parametrize("printed", [b'{"a": "\xff"}', b'["\xed\xa0\x80"]', b'"\xff"'])
def test_json_that_is_not_utf8_says_so(printed: bytes) -> None:
    error = found(printed)

    assert isinstance(error, CallError)
    assert "is not UTF-8" in error.message


@pytest.mark.parametrize("printed", [b'"\\ud800"', b'{"a": "\\udc00"}'])
def test_json_with_half_a_character_says_so(printed: bytes) -> None:
    error = found(printed)

    assert isinstance(error, CallError)
    assert "is not JSON" in error.message


@pytest.mark.parametrize("lines", [b"", b"\n"])
def test_json_beyond_the_depth_is_named(lines: bytes) -> None:
    error = found(b"[" + lines + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + lines + b"]")

    assert isinstance(error, CallError)
    assert f"more than {MAX_DEPTH} levels" in error.message


LARGE = [b"x" * 1_000_000] * (LINE_BYTES // 1_000_000 + 1)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_line_too_large_is_named_and_never_an_earlier_one_taken(end: bytes) -> None:
    line, noise = found(b'{"earlier": 1}\n["', *LARGE, b'"]', end), found(b'{"earlier": 1}\n', *LARGE, end)

    assert isinstance(line, CallError)
    assert str(LINE_BYTES) in line.message
    assert noise is None
    assert found(b'["', *LARGE, b'"]\n', b"42", end) == b"42"


@pytest.mark.parametrize("opening", [b"{\n", b"[\n"])
@pytest.mark.parametrize("member", [b'  "x": "%b",\n', b'{\n"x": "%b"\n},\n'])
def test_a_document_too_large_is_named(opening: bytes, member: bytes) -> None:
    closing = {b"{\n": b'"z": 1\n}\n', b"[\n": b"1\n]\n"}[opening]

    document = found(opening, *[member % (b"y" * 1000)] * (TAIL_BYTES // 1000 + 20), closing)

    assert isinstance(document, CallError)
    assert str(TAIL_BYTES) in document.message


def test_the_last_of_many_openings_begins_the_document() -> None:
    assert found(b"[\n" * 400_000 + b"]") == b"[\n]"
    assert found(b"{\n" * 400_000 + b"}") == b"{\n}"
    assert found(b"]\n" * 400_000 + b"]") is None


@given(json_texts(), st.integers(1, 3))
def test_any_json_over_several_lines_is_found_whatever_was_printed_before(text: bytes, indent: int) -> None:
    spread = json.dumps(json.loads(text, parse_float=str), indent=indent, ensure_ascii=False).encode()

    assert found(b"[\n{'noise': \n", spread, b"\n") == spread


@given(json_texts())
def test_any_json_on_one_line_is_found_whatever_was_printed_before(text: bytes) -> None:
    assert found(b"[\n{\nnoise\n", text) == text
