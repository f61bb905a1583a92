"""A job in either spelling."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rest import answers
from nanogrid.errors import InvalidFieldError
from nanogrid.v1.resources_pb2 import Dialect, Job, JobError, JobState

STATES = [
    (JobState.JOB_STATE_PENDING, "pending", "PENDING"),
    (JobState.JOB_STATE_PROCESSING, "running", "PROCESSING"),
    (JobState.JOB_STATE_SUCCESS, "completed", "SUCCESS"),
    (JobState.JOB_STATE_FAILED, "failed", "FAILED"),
    (JobState.JOB_STATE_CANCELLED, "cancelled", "CANCELLED"),
]


def shown(urls=(), **fields):
    job = Job(
        **({"job_id": "job-1", "state": JobState.JOB_STATE_SUCCESS, "dialect": Dialect.DIALECT_STANDARD} | fields)
    )
    return orjson.loads(answers.write_job(job, urls))


def camel(**fields):
    return shown(dialect=Dialect.DIALECT_CAMEL, **fields)


@pytest.mark.parametrize(("state", "standard", "upper"), STATES)
def test_states_have_a_word_in_either_spelling_and_both_are_understood(state, standard, upper):
    assert shown(state=state)["status"] == standard
    assert camel(state=state)["status"] == upper
    assert answers.parse_state(standard) == answers.parse_state(upper) == state


def test_a_word_for_no_state_is_refused():
    with pytest.raises(InvalidFieldError, match="running"):
        answers.parse_state("RUNNING!")


def test_a_dialect_not_said_is_the_standard_one():
    assert shown(dialect=Dialect.DIALECT_UNSPECIFIED)["job_id"] == "job-1"


def test_an_unfinished_job_has_the_mandated_fields_already():
    body = shown(state=JobState.JOB_STATE_PENDING)

    assert (body["result"], body["output_files"], body["exit_code"]) == (None, [], None)
    assert "error" not in body
    assert "ended_at" not in body


def test_an_exit_code_of_zero_is_an_exit_code():
    assert shown(exit_code=0)["exit_code"] == 0
    assert camel(exit_code=0)["exitCode"] == 0
    assert camel()["exitCode"] is None


def test_a_result_is_embedded_as_it_is():
    raw = '{"b":1,"a":[1.10,12345678901234567890123],"글":"값"}'.encode()

    assert b'"result":' + raw in answers.write_job(Job(state=JobState.JOB_STATE_SUCCESS, result=raw), ())


@pytest.mark.parametrize("raw", [b"null", b"false", b"0", b'""', b"[]"])
def test_results_that_are_falsy_are_results(raw):
    assert shown(result=raw)["result"] == orjson.loads(raw)


@pytest.mark.parametrize(
    ("peak", "whole"), [(0, 0), (4096, 1), (1024 * 1024 - 1, 1), (1024 * 1024, 1), (11_534_336, 11)]
)
def test_memory_is_whole_mebibytes_rounded_down_and_none_only_where_nothing_ran(peak, whole):
    assert camel(peak_memory_bytes=peak)["peakMemoryMB"] == whole
    assert shown(peak_memory_bytes=peak)["peak_memory_bytes"] == peak


def test_a_tip_begins_as_older_clients_expect_it_once():
    assert camel(optimization_tip="use 64 MB")["optimizationTip"] == "💡 Tip: use 64 MB"
    assert camel(optimization_tip="💡 Tip: use 64 MB")["optimizationTip"] == "💡 Tip: use 64 MB"
    assert camel()["optimizationTip"] == ""
    assert shown(optimization_tip="use 64 MB")["optimization_tip"] == "use 64 MB"


def test_an_error_is_told_in_both_spellings():
    error = JobError(type="Timeout", message="took longer than 1 s")
    expected = {"type": "Timeout", "message": "took longer than 1 s", "stack": ""}

    assert shown(state=JobState.JOB_STATE_FAILED, error=error)["error"] == expected
    assert camel(state=JobState.JOB_STATE_FAILED, error=error)["error"] == expected


def test_times_are_utc_with_a_z():
    job = Job(job_id="job-1", state=JobState.JOB_STATE_SUCCESS)
    job.created_at.FromMicroseconds(1_795_228_426_120_000)

    assert orjson.loads(answers.write_job(job, ()))["created_at"] == "2026-11-21T02:33:46.120Z"


def test_the_spellings_never_mix():
    fields = {"error": JobError(type="x"), "optimization_tip": "x", "result": b"1"}

    assert all(name == name.lower() for name in shown(**fields))
    assert not any("_" in name for name in camel(**fields))


@given(st.text(), st.text(), st.floats(0, 1e12), st.integers(0, 2**62))
def test_whatever_a_function_printed_is_valid_json(stdout, stderr, milliseconds, peak):
    fields = {"stdout": stdout, "stderr": stderr, "execution_time_ms": milliseconds, "peak_memory_bytes": peak}

    assert shown(**fields)["stdout"] == stdout
    assert camel(**fields)["stderr"] == stderr
