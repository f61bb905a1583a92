"""What a job's record says of its run."""

import orjson

from nanogrid.timestamps import set_now
from nanogrid.v1.resources_pb2 import Job, JobError, JobState
from services.executor.run.capture import Capture
from services.executor.sandbox import CallError, CallResult, Kind, OutputStream


def report(job: Job, outcome: CallResult, capture: Capture, kind: Kind) -> None:
    """Write how the call ended, and what it printed; the job's state is final afterwards."""
    job.stdout, job.stderr = capture.text(OutputStream.STDOUT), capture.text(OutputStream.STDERR)
    job.execution_time_ms = round(outcome.duration_ms, 3)
    fallback = 0 if outcome.error is None else 1  # a handler that returned or raised ended no process
    job.exit_code = fallback if outcome.exit_code is None else outcome.exit_code
    conclude(job, outcome.error, printed_result(capture) if kind is Kind.PROGRAM else outcome.result)


def conclude(job: Job, error: CallError | None, result: bytes | None) -> None:
    """Make the job's state final."""
    set_now(job.ended_at)
    if error is None:
        job.state = JobState.JOB_STATE_SUCCESS
        job.result = result or b"null"
    else:
        job.state = JobState.JOB_STATE_FAILED
        job.error.CopyFrom(JobError(type=error.type, message=error.message, stack=error.stack))


def printed_result(capture: Capture) -> bytes | None:
    """A program's result: its last stdout line when that is JSON."""
    line = capture.last_line()
    if line is None:
        return None
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return line
