"""Job records: what is written is read again, and results stay as they are."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.jobs.record import RecordError, decode, encode, encode_news, encode_stub
from nanogrid.v1.resources_pb2 import Dialect, Job, JobError, JobState, OutputFile
from support.json_values import json_texts

STATES = st.sampled_from([JobState.JOB_STATE_SUCCESS, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED])
DIALECTS = st.sampled_from([Dialect.DIALECT_STANDARD, Dialect.DIALECT_CAMEL])


def a_job(**fields: object) -> Job:
    job = Job(
        job_id="job-1",
        function_id="f",
        owner="alice",
        state=JobState.JOB_STATE_SUCCESS,
        dialect=Dialect.DIALECT_STANDARD,
        result=b"1",
        output_files=[OutputFile(key="outputs/job-1/a", size_bytes=3)],
        exit_code=0,
        stdout="안녕",
        peak_memory_bytes=2**40,
        execution_time_ms=1.25,
    )
    job.created_at.FromMilliseconds(1_700_000_000_001)
    job.MergeFrom(Job(**fields))  # type: ignore[arg-type]
    return job


@given(state=STATES, dialect=DIALECTS, result=json_texts(), stdout=st.text(max_size=20))
def test_a_job_is_read_as_it_was_written_its_result_byte_for_byte(
    state: JobState.ValueType, dialect: Dialect.ValueType, result: bytes, stdout: str
) -> None:
    job = a_job(state=state, dialect=dialect, result=result, stdout=stdout)
    if state != JobState.JOB_STATE_SUCCESS:
        job.result = b""
        job.error.CopyFrom(JobError(type="HandlerError", message="no", stack=stdout))

    encoded = encode(job)

    assert decode(encoded) == job
    assert not job.result or b'"result":' + result + b"," in encoded


@pytest.mark.parametrize("dialect", [Dialect.DIALECT_STANDARD, Dialect.DIALECT_CAMEL])
def test_news_carry_urls_and_the_words_of_their_dialect(dialect: Dialect.ValueType) -> None:
    news = orjson.loads(encode_news(a_job(dialect=dialect), ["http://x/a"]))

    assert news["output_files"] == ["http://x/a"]
    assert news["status"] == ("SUCCESS" if dialect == Dialect.DIALECT_CAMEL else "completed")
    assert ("requestId" in news) == (dialect == Dialect.DIALECT_CAMEL)


def test_a_stub_says_that_the_rest_is_in_artifacts() -> None:
    stub = decode(encode_stub(a_job()))

    assert (stub.kept_in_artifacts, stub.result, stub.stdout) == (True, b"", "")
    assert stub.output_files == a_job().output_files


def test_records_of_before_are_read() -> None:
    old = orjson.loads(encode(a_job(result=b"2"))) | {"status": "SUCCESS"}
    for newer in ("state", "runtime_memory_bytes", "s3_key", "code_sha256", "kept_in_artifacts"):
        del old[newer]

    job = decode(orjson.dumps(old))

    assert (job.state, job.result) == (JobState.JOB_STATE_SUCCESS, b"2")


WHOLE = encode(a_job())


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"", b"[]", b"{}", b"\xff", WHOLE[:-1], WHOLE.replace(b"SUCCESS", b"EVAPORATED")),
        *(WHOLE.replace(b'"attempt":0', b'"attempt":"x"'), WHOLE.replace(b'"attempt":0', b'"attempt":99999999999999')),
        WHOLE.replace(b'"result":1', b'"result":' + b"[" * 5000 + b"]" * 5000),
    ],
)
def test_a_damaged_record_is_told(damaged: bytes) -> None:
    with pytest.raises(RecordError, match="not a job's record"):
        decode(damaged)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_none(data: bytes) -> None:
    for damaged in (data, WHOLE[: len(data)] + data, WHOLE + data):
        try:
            decode(damaged)
        except RecordError:
            continue
