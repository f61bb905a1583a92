"""Writes the outcome of a run into its job."""

from nanogrid.timestamps import set_now
from nanogrid.v1.resources_pb2 import Job, JobError, JobState
from services.executor.run.capture import Capture
from services.executor.run.printed_result import printed_result
from services.executor.sandbox import CallError, CallResult, Kind, OutputStream


def report(job: Job, outcome: CallResult, capture: Capture, kind: Kind) -> None:
    """Write the outcome of a call and its output into the job, and make its state final."""
    note_output(job, capture)
    job.execution_time_ms = round(outcome.duration_ms, 3)
    fallback = 0 if outcome.error is None else 1  # a handler that returned or raised has no exit code
    job.exit_code = fallback if outcome.exit_code is None else outcome.exit_code
    error, result = outcome.error, outcome.result
    if kind is Kind.PROGRAM and error is None:
        printed = printed_result(capture)
        error, result = (printed, None) if isinstance(printed, CallError) else (None, printed)
    conclude(job, error, result)


def note_output(job: Job, capture: Capture) -> None:
    """Write the output so far into the job."""
    job.stdout, job.stderr = capture.text(OutputStream.STDOUT), capture.text(OutputStream.STDERR)


def conclude(job: Job, error: CallError | None, result: bytes | None) -> None:
    """Write the error or the result into the job and make its state final."""
    set_now(job.ended_at)
    if error is None:
        job.state = JobState.JOB_STATE_SUCCESS
        job.result = result or b"null"
    else:
        job.state = JobState.JOB_STATE_FAILED
        job.error.CopyFrom(JobError(type=error.type, message=error.message, stack=error.stack))
