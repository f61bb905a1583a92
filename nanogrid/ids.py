"""Normalises ids, and makes the errors for unknown ones.

A UUID in capitals, as some tools write it, is the same UUID (RFC 9562).
"""

import re

from nanogrid.errors import NotFoundError

_SHOWN = 64  # characters of an id that an error repeats
_JOB = "job-"
_UUID = re.compile(r"(?:job-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def canonical_id(text: str) -> str:
    """Return a UUID, or a job id made of one, in lower case. Other ids are case-sensitive and returned unchanged."""
    return text.lower() if _UUID.fullmatch(text) else text


def unknown_function(function_id: str) -> NotFoundError:
    """Return the error for a function that is missing or another owner's. Callers cannot tell the two apart."""
    why = f"function {function_id[:_SHOWN]!r} is not there: it was deleted, or is another grid's or owner's"
    return NotFoundError(f"{why}; GET /functions lists yours{_meant(function_id)}", field="function_id")


def unknown_job(job_id: str) -> NotFoundError:
    """Return the error for a job that is missing or another owner's. Callers cannot tell the two apart."""
    why = f"job {job_id[:_SHOWN]} is unknown, or ended longer ago than results are kept; GET /jobs lists yours"
    is_bare = _UUID.fullmatch(job_id) and not job_id.lower().startswith(_JOB)
    hint = f"; a job's id begins with {_JOB}: is this a function's?" if is_bare else ""
    return NotFoundError(f"{why}{hint}", field="job_id")


def _meant(function_id: str) -> str:
    if function_id.lower().startswith(_JOB):
        return "; this is the id of a job"
    return "" if _UUID.fullmatch(function_id) else "; to call it by its name, send that as function_name"
