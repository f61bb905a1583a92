import time

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.rest.answers import format_time
from nanogrid.timestamps import millis, set_millis, set_now

SECONDS = st.integers(0, 253_402_300_799)  # from 1970 to the end of the year 9999


@given(SECONDS, st.one_of(st.integers(0, 999_999_999), st.integers(0, 999).map(lambda ms: ms * 1_000_000), st.just(0)))
def test_an_instant_reads_as_protobuf_writes_it(seconds: int, nanos: int) -> None:
    moment = Timestamp(seconds=seconds, nanos=nanos)

    assert format_time(moment) == moment.ToJsonString()


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive(told: int) -> None:
    moment = Timestamp()
    set_millis(moment, told)

    assert millis(moment) == told == moment.ToMilliseconds()


def test_now_is_now() -> None:
    before = time.time_ns()
    moment = Timestamp()
    set_now(moment)

    assert before <= moment.ToNanoseconds() <= time.time_ns()
