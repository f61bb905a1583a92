"""Writes the end of a job that was cancelled."""

from nanogrid.timestamps import set_now
from nanogrid.v1.resources_pb2 import Job, JobError, JobState


def set_cancelled(job: Job, reason: str) -> None:
    """Make a job CANCELLED; `reason` is a sentence for its owner."""
    job.state = JobState.JOB_STATE_CANCELLED
    job.error.CopyFrom(JobError(type="Cancelled", message=reason))
    set_now(job.ended_at)
