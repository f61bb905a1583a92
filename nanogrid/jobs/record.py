"""A finished job as JSON: what is stored, and what is published on `result:{job_id}`."""

from typing import Any

import orjson

from nanogrid.timestamps import millis, set_millis
from nanogrid.v1.resources_pb2 import Dialect, Job, JobError, JobState, OutputFile

_NAMES = {number: name.removeprefix("JOB_STATE_") for name, number in JobState.items()}
_STATES = {name: number for number, name in _NAMES.items()}
_CAMEL = Dialect.DIALECT_CAMEL


def state_name(state: JobState.ValueType) -> str:
    """PENDING, PROCESSING, SUCCESS, FAILED or CANCELLED."""
    return _NAMES[state]


def state_of(name: str) -> JobState.ValueType:
    """The inverse of `state_name`; KeyError for any other word."""
    return _STATES[name]


def encode(job: Job) -> bytes:
    """The record. Snake case always; jobs asked in the camelCase dialect carry that spelling beside it."""
    record: dict[str, Any] = {
        "job_id": job.job_id,
        "function_id": job.function_id,
        "owner": job.owner,
        "status": state_name(job.state),
        "dialect": job.dialect,
        "runtime": job.runtime,
        "attempt": job.attempt,
        "executor_id": job.executor_id,
        "executor_address": job.executor_address,
        "created_at": millis(job.created_at),
        "started_at": millis(job.started_at),
        "ended_at": millis(job.ended_at),
        "result": orjson.Fragment(job.result) if job.result else None,
        "output_files": [{"key": file.key, "size_bytes": file.size_bytes} for file in job.output_files],
        "error": _error(job),
        "exit_code": job.exit_code if job.HasField("exit_code") else None,
        "stdout": job.stdout,
        "stderr": job.stderr,
        "peak_memory_bytes": job.peak_memory_bytes,
        "optimization_tip": job.optimization_tip,
        "execution_time_ms": job.execution_time_ms,
        "cold_start": job.cold_start,
        "memory_mb": job.memory_mb,
        "recommended_memory_mb": job.recommended_memory_mb,
        "estimated_saving_percent": job.estimated_saving_percent,
        "advice_calls": job.advice_calls,
        "runtime_memory_bytes": job.runtime_memory_bytes,
        "s3_key": job.s3_key,
        "code_sha256": job.code_sha256,
        "kept_in_artifacts": job.kept_in_artifacts,
    }
    if job.dialect == _CAMEL:
        record |= {
            "requestId": job.job_id,
            "exitCode": record["exit_code"],
            "peakMemoryBytes": job.peak_memory_bytes,
            "optimizationTip": job.optimization_tip,
        }
    return orjson.dumps(record)


def stub(job: Job) -> bytes:
    """The record of a job whose result and output are too large for it: they lie in artifacts."""
    small = Job()
    small.CopyFrom(job)
    small.ClearField("result")
    small.ClearField("stdout")
    small.ClearField("stderr")
    small.kept_in_artifacts = True
    return encode(small)


def decode(data: bytes | str) -> Job:
    """The job a record tells of. Raises ValueError, KeyError or TypeError for what `encode` did not make."""
    record = orjson.loads(data)
    job = Job(
        job_id=record["job_id"],
        function_id=record["function_id"],
        owner=record["owner"],
        state=state_of(record["status"]),
        dialect=record["dialect"],
        runtime=record["runtime"],
        attempt=record["attempt"],
        executor_id=record["executor_id"],
        executor_address=record["executor_address"],
        result=_result(record),
        output_files=[OutputFile(**file) for file in record["output_files"]],
        exit_code=record["exit_code"],
        stdout=record["stdout"],
        stderr=record["stderr"],
        peak_memory_bytes=record["peak_memory_bytes"],
        optimization_tip=record["optimization_tip"],
        execution_time_ms=record["execution_time_ms"],
        cold_start=record["cold_start"],
        memory_mb=record["memory_mb"],
        recommended_memory_mb=record["recommended_memory_mb"],
        estimated_saving_percent=record["estimated_saving_percent"],
        advice_calls=record["advice_calls"],
        runtime_memory_bytes=record.get("runtime_memory_bytes", 0),
        s3_key=record.get("s3_key", ""),
        code_sha256=record.get("code_sha256", ""),
        kept_in_artifacts=record.get("kept_in_artifacts", False),
    )
    if record["error"]:
        job.error.CopyFrom(JobError(**record["error"]))
    for name in ("created_at", "started_at", "ended_at"):
        if record[name]:
            set_millis(getattr(job, name), record[name])
    return job


def _result(record: dict[str, Any]) -> bytes:
    if record["status"] != "SUCCESS" or record.get("kept_in_artifacts"):
        return b""
    return orjson.dumps(record["result"])


def _error(job: Job) -> dict[str, str] | None:
    if not job.HasField("error"):
        return None
    return {"type": job.error.type, "message": job.error.message, "stack": job.error.stack}
