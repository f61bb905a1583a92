from hypothesis import given
from hypothesis import strategies as st

from services.executor.run.capture import KEPT_BYTES, Capture
from services.executor.sandbox import OutputStream

OUT, ERR = OutputStream.STDOUT, OutputStream.STDERR


def captured(*pieces: bytes) -> Capture:
    capture = Capture()
    for piece in pieces:
        capture.take(OUT, piece)
    return capture


def test_short_output_is_kept_whole_and_by_stream() -> None:
    capture = captured(b"one\n", "안녕".encode())
    capture.take(ERR, b"oops")

    assert capture.text(OUT) == "one\n안녕"
    assert capture.text(ERR) == "oops"


def test_long_output_is_cut_with_a_mark_that_counts_what_is_missing() -> None:
    capture = captured(*[b"x" * 100_000] * 500)

    text = capture.text(OUT)

    assert text == "x" * KEPT_BYTES + "\n[cut: 49000000 more bytes]"


def test_a_character_torn_by_the_cut_is_left_out() -> None:
    capture = captured(b"x" * (KEPT_BYTES - 1), "한".encode())

    assert capture.text(OUT) == "x" * (KEPT_BYTES - 1) + "\n[cut: 2 more bytes]"


def test_invalid_utf8_is_replaced() -> None:
    assert captured(b"a\xffb").text(OUT) == "a�b"


def test_the_last_line_of_megabytes_is_found() -> None:
    assert captured(b"noise\n" * 500_000, b'{"a": 1}\n').last_line() == b'{"a": 1}'


def test_no_output_has_no_last_line() -> None:
    assert captured().last_line() is None
    assert captured(b"\n \n").last_line() is None


def test_a_line_larger_than_a_result_is_no_result_but_a_later_one_is() -> None:
    capture = captured(*[b"x" * 1_000_000] * 33)
    assert capture.last_line() is None

    capture.take(OUT, b"\n42\n")

    assert capture.last_line() == b"42"


def test_stderr_is_never_the_result() -> None:
    capture = captured(b"1\n")
    capture.take(ERR, b"2\n")

    assert capture.last_line() == b"1"


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\x00", b"\n"))))
def test_the_last_line_is_the_same_however_the_output_was_cut_into_pieces(pieces: list[bytes]) -> None:
    expected = next((line for line in reversed(b"".join(pieces).split(b"\n")) if line.strip()), None)

    assert captured(*pieces).last_line() == expected
