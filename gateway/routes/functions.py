"""Routes that register, list, read and delete functions. Uploads are in `uploads.py`."""

import asyncio
import re
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends
from gateway.forwarded import location
from gateway.rest import idempotency, openapi, options
from gateway.rest.answers import format_time
from gateway.rest.bodies import read_object
from gateway.rest.queries import page_of
from gateway.rest.routing import Router
from nanogrid import limits, runtimes
from nanogrid.errors import InvalidFieldError, NotFoundError
from nanogrid.v1.artifacts_pb2 import CodeInfo, InspectCodeRequest
from nanogrid.v1.invoker_pb2 import RetireFunctionRequest
from nanogrid.v1.registry_pb2 import CreateFunctionRequest, GetFunctionRequest, ListFunctionsRequest, UploadReservation
from nanogrid.v1.resources_pb2 import Function, SandboxMode

router = Router()

_BODY_BYTES = 256 * 1024  # an environment of 64 KiB, escaped, and a few fields
_INSPECT_S = 120.0  # time to read a bundle of the largest size
_IN_FOLDER = re.compile(r"functions/([^/]+)/.+")


@router.post("/functions", status_code=201, openapi_extra=openapi.REGISTER)
async def register(request: Request) -> Response:
    """Register code that is already in the code bucket."""
    grid = backends.of(request)
    attempt = idempotency.Attempt(grid, idempotency.key_of(request))
    body = await read_object(request, _BODY_BYTES)
    function, fingerprint = options.from_json(body), idempotency.of_json(body)
    if (earlier := await attempt.reserve()) is not None:
        return created(request, idempotency.same(earlier, fingerprint))
    try:
        function.function_id = function.function_id or await _free_id(grid, function.s3_key)
        runtime = await backends.resolve_runtime(request, function.runtime)
        code = await _inspect(grid, function.s3_key)
        stored = StoredCode(function, runtime, code, code.s3_key)
        return created(request, await record(grid, stored, attempt.reservation, fingerprint))
    except BaseException:
        await asyncio.shield(attempt.give_up())
        raise


@router.get("/functions", openapi_extra=openapi.LIST_FUNCTIONS)
async def list_functions(request: Request) -> Response:
    """List your functions, newest first. `?name=` returns only the newest of that name."""
    registry = backends.of(request).registry
    name = request.query_params.get("name")
    if name is not None:
        try:
            newest = (
                await registry.GetFunction(GetFunctionRequest(function_name=name), timeout=backends.ANSWER_S)
            ).function
        except NotFoundError:
            return _json({"functions": [], "next_cursor": None})
        return _json({"functions": [as_json(newest)], "next_cursor": None})
    limit, cursor = page_of(request)
    page = await registry.ListFunctions(
        ListFunctionsRequest(page_size=limit, page_token=cursor), timeout=backends.ANSWER_S
    )
    return _json({"functions": [as_json(one) for one in page.functions], "next_cursor": page.next_page_token or None})


@router.get("/functions/{function_id}", openapi_extra=openapi.GET_FUNCTION)
async def get_function(request: Request, function_id: str) -> Response:
    """Read one function."""
    registry = backends.of(request).registry
    answer = await registry.GetFunction(GetFunctionRequest(function_id=function_id), timeout=backends.ANSWER_S)
    return _json(as_json(answer.function))


@router.delete("/functions/{function_id}", status_code=204, openapi_extra=openapi.DELETE_FUNCTION)
async def delete_function(request: Request, function_id: str) -> Response:
    """Delete a function. It takes no new jobs, its jobs are cancelled, and its code is deleted after the last one."""
    invoker = backends.of(request).invoker
    await invoker.RetireFunction(RetireFunctionRequest(function_id=function_id), timeout=backends.ANSWER_S)
    return Response(status_code=204)


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A function as requested, with its stored code."""

    wanted: Function
    runtime: runtimes.Runtime
    code: CodeInfo
    filename: str

    @property
    def function(self) -> Function:
        """Return the function to record, with unset options derived from the code."""
        function, code = Function(), self.code
        function.CopyFrom(self.wanted)
        function.runtime = self.runtime.name
        if self.wanted.runtime in runtimes.RUNTIMES and self.wanted.runtime != self.runtime.name:
            function.requested_runtime = self.wanted.runtime
        function.handler = function.handler or options.default_handler(self.runtime, self.filename, code.root_files)
        function.s3_key, function.code_sha256, function.code_size_bytes = code.s3_key, code.code_sha256, code.size_bytes
        return function


async def record(
    grid: backends.Backends, stored: StoredCode, reservation: UploadReservation | None, fingerprint: str
) -> Function:
    """Record a function in the registry, together with the result of its caller's key."""
    request = CreateFunctionRequest(function=stored.function, reservation=reservation, fingerprint=fingerprint)
    return (await grid.registry.CreateFunction(request, timeout=backends.ANSWER_S)).function


def created(request: Request, function: Function) -> Response:
    """Return the answer 201 about a new function."""
    return _json(as_json(function), 201, {"location": location(request, f"/functions/{function.function_id}")})


def as_json(function: Function) -> dict[str, Any]:
    """Return a function as REST shows it. Of the environment only names are shown, because values are secrets."""
    return {
        "function_id": function.function_id,
        "function_name": function.function_name,
        "s3_key": function.s3_key,
        "created_at": format_time(function.created_at),
        "runtime": function.runtime,
        **({"requested_runtime": function.requested_runtime} if function.requested_runtime else {}),
        "handler": function.handler,
        "timeout": function.timeout_s,
        "memory_mb": function.memory_mb,
        "mode": SandboxMode.Name(function.mode).removeprefix("SANDBOX_MODE_").lower(),
        "max_concurrency": function.max_concurrency,
        "egress": function.egress,
        "auto_memory": function.auto_memory,
        "env": sorted(function.env),
        "code_sha256": function.code_sha256,
        "size_bytes": function.code_size_bytes,
        "owner": function.owner,
    }


async def _free_id(grid: backends.Backends, s3_key: str) -> str:
    """Return the id in the key's folder name if no function of the caller has it yet, else a new one."""
    found = _IN_FOLDER.fullmatch(s3_key)
    if found and limits.ID.fullmatch(found[1]):
        try:
            await grid.registry.GetFunction(GetFunctionRequest(function_id=found[1]), timeout=backends.ANSWER_S)
        except NotFoundError:
            return found[1]
    return str(uuid.uuid4())


async def _inspect(grid: backends.Backends, s3_key: str) -> CodeInfo:
    try:
        return (await grid.artifacts.InspectCode(InspectCodeRequest(s3_key=s3_key), timeout=_INSPECT_S)).code
    except NotFoundError:
        raise InvalidFieldError(
            "s3_key", f"{s3_key[:128]!r} is not in the code bucket; put the zip there first"
        ) from None


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
