"""Whatever bytes a sandbox sends, they are understood or refused, never believed."""

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.sandbox import CallError, Kind, frames
from services.executor.sandbox.frames import Frame, ProtocolError
from support.json_values import nested


def done(header: object, result: bytes = b"") -> Frame:
    head = orjson.dumps(header)
    return Frame(b"D", frames.LENGTH.pack(len(head)) + head + result)


@given(st.binary(max_size=1), st.binary(max_size=200))
def test_any_frame_is_parsed_or_a_protocol_error(kind: bytes, body: bytes) -> None:
    for parse in (frames.parse_done, frames.parse_ready):
        try:
            parse(Frame(kind, body))
        except ProtocolError:
            continue


@given(
    nested(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
        names=st.sampled_from(["error", "exit_code", "signal", "type"]),
    )
)
def test_any_header_is_parsed_or_a_protocol_error(header: object) -> None:
    for frame in (done(header), Frame(b"R", orjson.dumps(header)), Frame(b"X", orjson.dumps(header))):
        parse = frames.parse_done if frame.kind == b"D" else frames.parse_ready
        try:
            parse(frame)
        except ProtocolError:
            continue


def test_what_a_runtime_says_is_understood() -> None:
    failure = {"type": "HandlerError", "message": "no", "stack": "here"}

    assert frames.parse_ready(Frame(b"R", b'{"kind":"program"}')) is Kind.PROGRAM
    assert frames.parse_ready(Frame(b"X", orjson.dumps(failure))) == CallError("HandlerError", "no", "here")
    assert frames.parse_done(done({}, b"[1]")).result == b"[1]"
    assert frames.parse_done(done({"exit_code": 3})).exit_code == 3
    assert frames.parse_done(done({"exit_code": 137, "signal": 9})).signal == 9
    assert frames.parse_done(done({"error": failure})).error == CallError("HandlerError", "no", "here")


@pytest.mark.parametrize("kind", ["Timeout", "Lost", "Cancelled", "CodeNotFound", "", 4, None])
def test_a_runtime_cannot_report_what_is_the_executors_to_find(kind: object) -> None:
    with pytest.raises(ProtocolError):
        frames.parse_done(done({"error": {"type": kind, "message": "", "stack": ""}}))


@pytest.mark.parametrize("code", [-1, 256, True, "0", 1.0])
def test_an_exit_code_is_a_small_integer(code: object) -> None:
    with pytest.raises(ProtocolError):
        frames.parse_done(done({"exit_code": code}))


@pytest.mark.parametrize("number", [-1, 65, True, "9"])
def test_a_signal_is_one_that_there_is(number: object) -> None:
    with pytest.raises(ProtocolError):
        frames.parse_done(done({"exit_code": 137, "signal": number}))


@pytest.mark.parametrize("result", [b"", b"NaN", b"{", b"[1,]", b"\xff", b'"\xed\xa0\x80"', b"[" * 2000 + b"]" * 2000])
def test_a_result_that_is_not_json_is_invalid(result: bytes) -> None:
    found = frames.check_result(result)

    assert found is not None
    assert found.type == "ResultInvalid"


def test_a_result_of_a_million_arrays_costs_no_memory_and_is_taken() -> None:
    tracemalloc.start()
    found = frames.check_result(b"[" + b"[]," * 1_000_000 + b"[]]")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found is None
    assert peak < 20_000_000  # parsed, it would take some 60 bytes an array, and a list of a million


def test_a_long_message_is_cut() -> None:
    error = frames.parse_done(done({"error": {"type": "HandlerError", "message": "x" * 200_000}})).error

    assert error is not None
    assert len(error.message) == 128 * 1024
