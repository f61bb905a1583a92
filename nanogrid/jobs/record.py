"""The codec of job records: the JSON that Redis keeps and publishes, and that becomes the durable result.

A record is written once, by the executor that ends the job, and read once by each process that needs it. The result in
it is the runtime's own bytes, copied in and cut out, never parsed.
"""

from collections.abc import Sequence

import msgspec

from nanogrid.timestamps import millis, set_millis
from nanogrid.v1.resources_pb2 import Dialect, Job, JobError, JobState, OutputFile

__all__ = ["RecordError", "decode", "encode", "encode_news", "encode_stub", "state_name", "state_of"]

_NAMES = {number: name.removeprefix("JOB_STATE_") for name, number in JobState.items()}
_STATES = {name: number for number, name in _NAMES.items()}
# The words of REST in the first dialect; the second has the names of the states themselves.
_WORDS = _NAMES | {
    JobState.JOB_STATE_PENDING: "pending",
    JobState.JOB_STATE_PROCESSING: "running",
    JobState.JOB_STATE_SUCCESS: "completed",
    JobState.JOB_STATE_FAILED: "failed",
    JobState.JOB_STATE_CANCELLED: "cancelled",
}
_NULL = msgspec.Raw(b"null")


class RecordError(ValueError):
    """The bytes are not a record that `encode` made."""


class _File(msgspec.Struct):
    key: str
    size_bytes: int


class _Error(msgspec.Struct):
    type: str
    message: str
    stack: str


class _Record(msgspec.Struct):
    """A record's fields. Those with a default are newer than some records that are still kept."""

    job_id: str
    function_id: str
    owner: str
    status: str
    dialect: int
    runtime: str
    attempt: int
    executor_id: str
    executor_address: str
    created_at: int
    started_at: int
    ended_at: int
    result: msgspec.Raw
    output_files: list[_File | str]
    error: _Error | None
    exit_code: int | None
    stdout: str
    stderr: str
    peak_memory_bytes: int
    optimization_tip: str
    execution_time_ms: float
    cold_start: bool
    memory_mb: int
    recommended_memory_mb: int
    estimated_saving_percent: int
    advice_calls: int
    runtime_memory_bytes: int = 0
    s3_key: str = ""
    code_sha256: str = ""
    kept_in_artifacts: bool = False
    requested_runtime: str = ""
    state: str = ""  # PENDING to CANCELLED; older records have it as their status


class _CamelRecord(_Record):
    """A record of a job asked in the second dialect: that spelling beside the first."""

    requestId: str = ""  # noqa: N815 - the wire's name, like the others
    exitCode: int | None = None  # noqa: N815
    peakMemoryBytes: int = 0  # noqa: N815
    optimizationTip: str = ""  # noqa: N815


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


def state_name(state: JobState.ValueType) -> str:
    """Name a state: PENDING, PROCESSING, SUCCESS, FAILED or CANCELLED."""
    return _NAMES[state]


def state_of(name: str) -> JobState.ValueType:
    """Read a name that `state_name` wrote. KeyError for any other word."""
    return _STATES[name]


def encode(job: Job) -> bytes:
    """Write the record of a job. Output files are their object keys: URLs are made when they are read."""
    return _encoder.encode(_record(job, [_File(file.key, file.size_bytes) for file in job.output_files], job.result))


def encode_news(job: Job, urls: Sequence[str]) -> bytes:
    """Write the record as it is published: output files are URLs that open without a key."""
    return _encoder.encode(_record(job, list(urls), job.result))


def encode_stub(job: Job) -> bytes:
    """Write the record of a job with a result or output too large for the job store: they lie in artifacts."""
    record = _record(job, [_File(file.key, file.size_bytes) for file in job.output_files], b"")
    record.stdout = record.stderr = ""
    record.kept_in_artifacts = True
    return _encoder.encode(record)


def decode(data: bytes) -> Job:
    """Read a record. RecordError for bytes that `encode` and its siblings did not write."""
    try:
        return _job(_decoder.decode(data))
    except (msgspec.MsgspecError, RecursionError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"not a job's record: {error}") from error


def _record(job: Job, files: list[_File | str], result: bytes) -> _Record:
    is_camel = job.dialect == Dialect.DIALECT_CAMEL
    record = (_CamelRecord if is_camel else _Record)(
        job_id=job.job_id,
        function_id=job.function_id,
        owner=job.owner,
        status=(_NAMES if is_camel else _WORDS)[job.state],
        dialect=job.dialect,
        runtime=job.runtime,
        attempt=job.attempt,
        executor_id=job.executor_id,
        executor_address=job.executor_address,
        created_at=millis(job.created_at),
        started_at=millis(job.started_at),
        ended_at=millis(job.ended_at),
        result=msgspec.Raw(result) if result else _NULL,
        output_files=files,
        error=_Error(job.error.type, job.error.message, job.error.stack) if job.HasField("error") else None,
        exit_code=job.exit_code if job.HasField("exit_code") else None,
        stdout=job.stdout,
        stderr=job.stderr,
        peak_memory_bytes=job.peak_memory_bytes,
        optimization_tip=job.optimization_tip,
        execution_time_ms=job.execution_time_ms,
        cold_start=job.cold_start,
        memory_mb=job.memory_mb,
        recommended_memory_mb=job.recommended_memory_mb,
        estimated_saving_percent=job.estimated_saving_percent,
        advice_calls=job.advice_calls,
        runtime_memory_bytes=job.runtime_memory_bytes,
        s3_key=job.s3_key,
        code_sha256=job.code_sha256,
        kept_in_artifacts=job.kept_in_artifacts,
        requested_runtime=job.requested_runtime,
        state=_NAMES[job.state],
    )
    if isinstance(record, _CamelRecord):
        record.requestId, record.exitCode = job.job_id, record.exit_code
        record.peakMemoryBytes, record.optimizationTip = job.peak_memory_bytes, job.optimization_tip
    return record


def _job(record: _Record) -> Job:
    state = state_of(record.state or record.status)
    has_result = state == JobState.JOB_STATE_SUCCESS and not record.kept_in_artifacts
    job = Job(
        job_id=record.job_id,
        function_id=record.function_id,
        owner=record.owner,
        state=state,
        dialect=Dialect.ValueType(record.dialect),
        runtime=record.runtime,
        attempt=record.attempt,
        executor_id=record.executor_id,
        executor_address=record.executor_address,
        result=bytes(record.result) if has_result else b"",
        output_files=[OutputFile(key=one.key, size_bytes=one.size_bytes) for one in _files(record)],
        exit_code=record.exit_code,
        stdout=record.stdout,
        stderr=record.stderr,
        peak_memory_bytes=record.peak_memory_bytes,
        optimization_tip=record.optimization_tip,
        execution_time_ms=record.execution_time_ms,
        cold_start=record.cold_start,
        memory_mb=record.memory_mb,
        recommended_memory_mb=record.recommended_memory_mb,
        estimated_saving_percent=record.estimated_saving_percent,
        advice_calls=record.advice_calls,
        runtime_memory_bytes=record.runtime_memory_bytes,
        s3_key=record.s3_key,
        code_sha256=record.code_sha256,
        kept_in_artifacts=record.kept_in_artifacts,
        requested_runtime=record.requested_runtime,
    )
    if record.error is not None:
        job.error.CopyFrom(JobError(type=record.error.type, message=record.error.message, stack=record.error.stack))
    for name in ("created_at", "started_at", "ended_at"):
        if (at := getattr(record, name)) > 0:
            set_millis(getattr(job, name), at)
    return job


def _files(record: _Record) -> list[_File]:
    return [one for one in record.output_files if isinstance(one, _File)]
