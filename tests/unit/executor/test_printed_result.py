"""The result of a program, found in what it printed."""

import json

import pytest
from hypothesis import given

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


@pytest.mark.parametrize(
    "document", [PRETTY, FLAT, b"{\n}", b"[\r\n  1\r\n]", json.dumps([VALUE] * 500, indent=1).encode()]
)
def test_a_document_over_several_lines_that_ends_the_output_is_the_result(document: bytes) -> None:
    assert found(document) == document
    assert found(b"[log] started\n{not: this}\n", document, b"\n\n") == document
    assert found(b'{"level":"info"}\n', document) == document


@pytest.mark.parametrize(
    "printed", [b"", b"\n", b"done", b"[INFO] done", b"[done]", b"{done}", b"None", b"a: {1}", b"]", b"x }"]
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
    ],
)
def test_what_is_nearly_json_says_why_it_is_not(printed: bytes) -> None:
    error = found(b"working\n" + printed + b"\n")

    assert isinstance(error, CallError), error
    assert error.type == "ResultInvalid"
    assert "is not JSON" in error.message
    assert "double quotes" in error.message


@pytest.mark.parametrize("lines", [b"", b"\n"])
def test_json_beyond_the_depth_is_named(lines: bytes) -> None:
    error = found(b"[" + lines + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + lines + b"]")

    assert isinstance(error, CallError)
    assert f"more than {MAX_DEPTH} levels" in error.message


def test_a_line_or_a_document_too_large_is_named() -> None:
    line = found(b'["', *[b"x" * 1_000_000] * (LINE_BYTES // 1_000_000 + 1), b'"]')
    document = found(b"{\n", *[b'  "x": "%b",\n' % (b"y" * 1000)] * (TAIL_BYTES // 1000 + 20), b'  "z": 1\n}\n')
    noise = found(*[b"x" * 1_000_000] * (LINE_BYTES // 1_000_000 + 1))

    assert isinstance(line, CallError)
    assert str(LINE_BYTES) in line.message
    assert isinstance(document, CallError)
    assert str(TAIL_BYTES) in document.message
    assert noise is None


def test_the_last_of_many_openings_begins_the_document() -> None:
    assert found(b"[\n" * 400_000 + b"]") == b"[\n]"
    assert found(b"{\n" * 400_000 + b"}") == b"{\n}"


@given(json_texts())
def test_any_json_on_one_line_is_found_whatever_was_printed_before(text: bytes) -> None:
    assert found(b"[\n{\nnoise\n", text) == text
