"""Writes jobs as JSON, in the dialect of their request."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid.errors import InvalidFieldError
from nanogrid.v1.resources_pb2 import Dialect, Job, JobState

TIP = "💡 Tip:"
_IS_CAMEL = Dialect.DIALECT_CAMEL
_MIB = 1024 * 1024

_STANDARD_STATES: Mapping[JobState.ValueType, str] = {
    JobState.JOB_STATE_PENDING: "pending",
    JobState.JOB_STATE_PROCESSING: "running",
    JobState.JOB_STATE_SUCCESS: "completed",
    JobState.JOB_STATE_FAILED: "failed",
    JobState.JOB_STATE_CANCELLED: "cancelled",
}
_UNKNOWN = "unknown"  # the state of a damaged record that is not in an index either
_CAMEL_STATES: Mapping[JobState.ValueType, str] = {
    state: JobState.Name(state).removeprefix("JOB_STATE_") for state in _STANDARD_STATES
}


def write_job(job: Job, urls: Sequence[str]) -> bytes:
    """Return a complete job as JSON. `urls` are those of its output files."""
    fields = _camel(job, urls) if job.dialect == _IS_CAMEL else _standard(job, urls)
    return orjson.dumps(fields)


def write_accepted(job: Job) -> bytes:
    """Return the body of an answer 202: the job's id, and the path of its result."""
    message = f"Job submitted. Poll GET /status/{job.job_id} for results."
    if job.dialect == _IS_CAMEL:
        return orjson.dumps(
            {"requestId": job.job_id, "status": _CAMEL_STATES.get(job.state, _UNKNOWN.upper()), "message": message}
        )
    return orjson.dumps({"job_id": job.job_id, "status": _STANDARD_STATES.get(job.state, _UNKNOWN), "message": message})


def summarize(job: Job) -> dict[str, Any]:
    """Return a job for a list, without result and output. Lists use the standard dialect."""
    return {
        "job_id": job.job_id,
        "function_id": job.function_id,
        "status": _STANDARD_STATES.get(job.state, _UNKNOWN),
        "runtime": job.runtime,
        "execution_time_ms": job.execution_time_ms,
        "peak_memory_bytes": job.peak_memory_bytes,
        "cold_start": job.cold_start,
        **_error(job),
        **_damage(job),
        **_times(job, ("created_at", "started_at", "ended_at")),
    }


def parse_state(word: str) -> JobState.ValueType:
    """Return the state that a caller filters by, in either dialect. InvalidFieldError lists the words."""
    for words in (_STANDARD_STATES, _CAMEL_STATES):
        for state, known in words.items():
            if known == word:
                return state
    raise InvalidFieldError("status", f"{word[:32]!r} is not one of {', '.join(_STANDARD_STATES.values())}")


def _standard(job: Job, urls: Sequence[str]) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "function_id": job.function_id,
        "status": _STANDARD_STATES.get(job.state, _UNKNOWN),
        "result": _result(job),
        "output_files": urls,
        "execution_time_ms": job.execution_time_ms,
        "exit_code": _exit_code(job),
        "stdout": job.stdout,
        "stderr": job.stderr,
        "peak_memory_bytes": job.peak_memory_bytes,
        "optimization_tip": job.optimization_tip,
        "cold_start": job.cold_start,
        **_error(job),
        **_damage(job),
        "runtime": job.runtime,
        **({"requested_runtime": job.requested_runtime} if job.requested_runtime else {}),
        "memory_mb": job.memory_mb,
        "recommended_memory_mb": job.recommended_memory_mb,
        "estimated_saving_percent": job.estimated_saving_percent,
        "advice_calls": job.advice_calls,
        "runtime_memory_bytes": job.runtime_memory_bytes,
        "attempt": job.attempt,
        "executor_id": job.executor_id,
        **_times(job, ("created_at", "started_at", "ended_at")),
    }


def _camel(job: Job, urls: Sequence[str]) -> dict[str, Any]:
    return {
        "requestId": job.job_id,
        "functionId": job.function_id,
        "status": _CAMEL_STATES.get(job.state, _UNKNOWN.upper()),
        "exitCode": _exit_code(job),
        "stdout": job.stdout,
        "stderr": job.stderr,
        "result": _result(job),
        "durationMillis": round(job.execution_time_ms),
        "peakMemoryMB": max(1, job.peak_memory_bytes // _MIB) if job.peak_memory_bytes else 0,  # 0 = nothing ran
        "optimizationTip": _tip(job),
        "outputFiles": urls,
        "coldStart": job.cold_start,
        **_error(job),
        **_damage(job),
        **_times(job, ("createdAt", "startedAt", "endedAt")),
    }


def _result(job: Job) -> orjson.Fragment | None:
    return orjson.Fragment(job.result) if job.result else None


def _exit_code(job: Job) -> int | None:
    return job.exit_code if job.HasField("exit_code") else None


def _tip(job: Job) -> str:
    tip = job.optimization_tip
    return tip if not tip or tip.startswith(TIP) else f"{TIP} {tip}"


def _error(job: Job) -> dict[str, Any]:
    if not job.HasField("error"):
        return {}
    return {"error": {"type": job.error.type, "message": job.error.message, "stack": job.error.stack}}


def _damage(job: Job) -> dict[str, bool]:
    return {"damaged": True} if job.is_damaged else {}


def _times(job: Job, names: tuple[str, str, str]) -> dict[str, str]:
    times = (job.created_at, job.started_at, job.ended_at)
    return {name: format_time(moment) for name, moment in zip(names, times, strict=True) if moment.seconds}


def format_time(moment: Timestamp) -> str:
    """Return ISO 8601 in UTC with a `Z` and as many decimals as needed: 0, 3, 6 or 9."""
    nanos = moment.nanos
    if nanos == 0:
        return f"{_second(moment.seconds)}Z"
    if nanos % 1_000_000 == 0:
        return f"{_second(moment.seconds)}.{nanos // 1_000_000:03d}Z"
    if nanos % 1_000 == 0:
        return f"{_second(moment.seconds)}.{nanos // 1_000:06d}Z"
    return f"{_second(moment.seconds)}.{nanos:09d}Z"


@lru_cache(maxsize=64)  # the times of concurrent calls lie within few seconds
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
