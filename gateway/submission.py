"""Sends calls to the invoker. After a lost connection it repeats the call under the same job id."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from gateway.backends import ANSWER_S, Backends
from gateway.rest.requests import RunRequest
from nanogrid.errors import ConnectionLostError, OutcomeUnknownError, UnavailableError
from nanogrid.logs import logger
from nanogrid.v1.invoker_pb2 import InvokeJobRequest, SubmitJobRequest
from nanogrid.v1.registry_pb2 import GetFunctionRequest
from nanogrid.v1.resources_pb2 import Job

log = logger()

_SLACK_S = 10.0  # added to the wait as the deadline of the invoker's answer
_PAUSE_S = 0.2  # before a call is repeated: a supervisor restarts a dead invoker in less than a second


async def submit(grid: Backends, call: RunRequest, key: str) -> Job:
    """Submit a job. UnavailableError when nothing was accepted, OutcomeUnknownError when that is unknown in time."""
    request = SubmitJobRequest(
        function_id=await _function_id(grid, call),
        payload=call.payload,
        dialect=call.dialect,
        idempotency_key=key,
        job_id=_new_job_id(),
    )

    async def ask(left_s: float) -> Job:
        return (await grid.invoker.SubmitJob(request, timeout=left_s)).job

    return await _settled(ask, request.job_id, ANSWER_S)


async def invoke(grid: Backends, call: RunRequest, key: str, wait_s: float) -> Job:
    """Submit a job and wait up to `wait_s` for its end. Errors as for `submit`."""
    request = InvokeJobRequest(
        function_id=await _function_id(grid, call),
        payload=call.payload,
        dialect=call.dialect,
        idempotency_key=key,
        job_id=_new_job_id(),
    )

    async def ask(left_s: float) -> Job:
        request.wait_s = left_s
        return (await grid.invoker.InvokeJob(request, timeout=left_s + _SLACK_S)).job

    return await _settled(ask, request.job_id, wait_s)


async def _settled(ask: Callable[[float], Awaitable[Job]], job_id: str, wait_s: float) -> Job:
    """Repeat the call until it is answered. An invoker that knows the id returns the job that the lost call made."""
    loop = asyncio.get_running_loop()
    deadline, lost = loop.time() + wait_s, False
    while (left_s := deadline - loop.time()) > 0:
        try:
            return await ask(left_s)
        except ConnectionLostError:
            lost = True
            log.warning("the connection to the invoker was lost; asking again", job_id=job_id)
        except UnavailableError:
            if not lost:
                raise
        await asyncio.sleep(min(_PAUSE_S, left_s))
    raise OutcomeUnknownError(job_id)


async def _function_id(grid: Backends, call: RunRequest) -> str:
    if call.function_id:
        return call.function_id
    by_name = GetFunctionRequest(function_name=call.function_name)
    return (await grid.registry.GetFunction(by_name, timeout=ANSWER_S)).function.function_id


def _new_job_id() -> str:
    return f"job-{uuid.uuid4()}"
