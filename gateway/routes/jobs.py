"""Routes that call functions, and read and list jobs."""

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends, submission
from gateway.forwarded import location, public_address
from gateway.rest import answers, idempotency, openapi
from gateway.rest.bodies import read_members
from gateway.rest.queries import page_of
from gateway.rest.requests import read_call, wants_async
from gateway.rest.routing import Router
from nanogrid.errors import UnavailableError
from nanogrid.jobs import FINAL_STATES
from nanogrid.v1.artifacts_pb2 import SignOutputsRequest
from nanogrid.v1.invoker_pb2 import GetJobRequest, ListJobsRequest
from nanogrid.v1.resources_pb2 import Job, JobState

router = Router()

_ENVELOPE_BYTES = 1024 * 1024  # room in a body for more than its payload: blanks, escapes, ids
_ID_CHARS = 128  # of an id in the log
_POLL_S = "1"
_JSON = "application/json"


@router.post("/run", openapi_extra=openapi.RUN)
async def run(request: Request) -> Response:
    """Call a function and wait for its result. With `X-Async: true`, do not wait."""
    settings = backends.settings_of(request)
    limit = settings.gateway_payload_bytes
    asynchronous, key = wants_async(request.headers.get("x-async", "")), idempotency.key_of(request)
    call = read_call(await read_members(request, limit + _ENVELOPE_BYTES), limit)
    grid = backends.of(request)
    if asynchronous:
        job = await submission.submit(grid, call, key)
        request.scope["job_id"] = job.job_id
        return _accepted(request, job)
    job = await submission.invoke(grid, call, key, settings.gateway_wait_s)
    request.scope["job_id"] = job.job_id
    return await _finished(request, job) if job.state in FINAL_STATES else _accepted(request, job)


@router.get("/status/{job_id}", openapi_extra=openapi.GET_JOB)
@router.get("/jobs/{job_id}", openapi_extra=openapi.GET_JOB)
async def get_job(request: Request, job_id: str) -> Response:
    """Read a job: its state, and its result after its end."""
    request.scope["job_id"] = job_id[:_ID_CHARS]
    answer = await backends.of(request).invoker.GetJob(GetJobRequest(job_id=job_id), timeout=backends.ANSWER_S)
    request.app.state.metrics.observe_jobs([answer.job])
    return Response(answers.write_job(answer.job, await _urls(request, answer.job)), media_type=_JSON)


@router.get("/jobs", openapi_extra=openapi.LIST_JOBS)
async def list_jobs(request: Request) -> Response:
    """List your jobs, newest first, without results and outputs."""
    limit, cursor = page_of(request)
    word = request.query_params.get("status", "")
    page = await backends.of(request).invoker.ListJobs(
        ListJobsRequest(
            page_size=limit,
            page_token=cursor,
            function_id=request.query_params.get("function_id", ""),
            state=answers.parse_state(word) if word else JobState.JOB_STATE_UNSPECIFIED,
        ),
        timeout=backends.ANSWER_S,
    )
    request.app.state.metrics.observe_jobs(page.jobs)
    body = {"jobs": [answers.summarize(job) for job in page.jobs], "next_cursor": page.next_page_token or None}
    return Response(orjson.dumps(body), media_type=_JSON)


async def _finished(request: Request, job: Job) -> Response:
    try:
        urls = await _urls(request, job)
    except UnavailableError:
        # The job ran, and a 503 would make the caller run it again. Its status has the URLs once artifacts is back.
        return _accepted(request, job)
    return Response(answers.write_job(job, urls), media_type=_JSON)


def _accepted(request: Request, job: Job) -> Response:
    headers = {"location": location(request, f"/status/{job.job_id}"), "retry-after": _POLL_S}
    return Response(answers.write_accepted(job), 202, headers, media_type=_JSON)


async def _urls(request: Request, job: Job) -> Sequence[str]:
    """Return new URLs of a job's output files, because they expire."""
    if not job.output_files:
        return ()
    keys = SignOutputsRequest(keys=[one.key for one in job.output_files])
    signed = (await backends.of(request).artifacts.SignOutputs(keys, timeout=backends.ANSWER_S)).urls
    return [public_address(request) + url if url.startswith("/") else url for url in signed]
