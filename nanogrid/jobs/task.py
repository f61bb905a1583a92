"""A queue message: one job with all that is needed to run it, and to rebuild its record."""

from dataclasses import dataclass
from typing import Any

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid.v1.resources_pb2 import Dialect, Function, Job, JobState, SandboxMode

__all__ = ["GarbageError", "Task", "decode", "encode"]


class GarbageError(ValueError):
    """The message is none that NanoGrid understands; it says why. Trying again would not help."""


@dataclass(frozen=True, slots=True)
class Task:
    """What an executor is asked to do. `payload` is the event as UTF-8 JSON."""

    job: Job
    function: Function
    payload: bytes


def encode(task: Task) -> bytes:
    """The message body (JSON)."""
    job, function = task.job, task.function
    return orjson.dumps(
        {
            "job_id": job.job_id,
            "function_id": function.function_id,
            "function_name": function.function_name,
            "owner": job.owner,
            "dialect": job.dialect,
            "created_at": job.created_at.ToMilliseconds(),
            "s3_key": function.s3_key,
            "code_sha256": function.code_sha256,
            "runtime": function.runtime,
            "handler": function.handler,
            "timeout": function.timeout_s,
            "memory_mb": function.memory_mb,
            "env": dict(function.env),
            "mode": function.mode,
            "max_concurrency": function.max_concurrency,
            "egress": function.egress,
            "auto_memory": function.auto_memory,
            "payload": orjson.Fragment(task.payload or b"{}"),
        }
    )


def decode(body: bytes) -> Task:
    """The task in a message body. GarbageError for anything else."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GarbageError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise GarbageError("not a JSON object")
    try:
        return _standard(message)
    except KeyError as error:
        raise GarbageError(f"{error.args[0]} is missing") from None
    except (TypeError, ValueError) as error:
        raise GarbageError(f"a field is of the wrong kind: {error}") from None


def _standard(message: dict[str, Any]) -> Task:
    created_at = Timestamp()
    created_at.FromMilliseconds(message.get("created_at", 0))
    function = Function(
        function_id=message["function_id"],
        function_name=message.get("function_name", ""),
        owner=message["owner"],
        runtime=message["runtime"],
        handler=message["handler"],
        s3_key=message["s3_key"],
        code_sha256=message.get("code_sha256", ""),
        timeout_s=message.get("timeout", 300),
        memory_mb=message.get("memory_mb", 512),
        env=message.get("env", {}),
        mode=message.get("mode", SandboxMode.SANDBOX_MODE_REUSE),
        max_concurrency=message.get("max_concurrency", 0),
        egress=message.get("egress", False),
        auto_memory=message.get("auto_memory", False),
    )
    job = Job(
        job_id=message["job_id"],
        function_id=function.function_id,
        owner=function.owner,
        state=JobState.JOB_STATE_PENDING,
        dialect=message.get("dialect", Dialect.DIALECT_STANDARD),
        runtime=function.runtime,
        memory_mb=function.memory_mb,
        created_at=created_at,
    )
    if not job.job_id:
        raise GarbageError("job_id is empty")
    return Task(job, function, orjson.dumps(message.get("payload", {})))
