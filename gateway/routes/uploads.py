"""POST /upload: streams code to artifacts, without holding it whole, and records its function."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from gateway import backends
from gateway.rest import idempotency, openapi, options
from gateway.rest.forms import Form
from gateway.rest.routing import Router
from gateway.routes.functions import StoredCode, created, record
from nanogrid import runtimes
from nanogrid.errors import NanoGridError
from nanogrid.logs import logger
from nanogrid.v1.artifacts_pb2 import CodeInfo, DeleteCodeRequest, UploadCodeHeader, UploadCodeRequest
from nanogrid.v1.registry_pb2 import DeleteFunctionRequest
from nanogrid.v1.resources_pb2 import Function

router = Router()
log = logger()


@router.post("/upload", status_code=201, openapi_extra=openapi.UPLOAD)
async def upload(request: Request) -> Response:
    """Upload code as a new function."""
    grid = backends.of(request)
    attempt = idempotency.Attempt(grid, idempotency.key_of(request))
    form = Form(request, backends.settings_of(request).gateway_upload_bytes, options.UPLOAD_FIELDS)
    if (earlier := await attempt.reserve()) is not None:
        return created(request, idempotency.same(earlier, await _read_only(form)))
    arriving = _Upload(request, form, attempt)
    try:
        return created(request, await arriving.become_function())
    except BaseException:
        await asyncio.shield(arriving.undo())
        raise


async def _read_only(form: Form) -> str:
    """Read a form to its end without storing it, and return its fingerprint."""
    await form.until_file()
    file = hashlib.sha256()
    async for piece in form.file():
        file.update(piece)
    return idempotency.of_form(form.fields, form.filename, file.digest())


class _Upload:
    """Streams a form's file to artifacts. `end` is sent only after the whole form was checked."""

    def __init__(self, request: Request, form: Form, attempt: idempotency.Attempt) -> None:
        self._request = request
        self._grid = backends.of(request)
        self._form = form
        self._attempt = attempt
        self._refusal: Exception | None = None
        self._function_id = str(uuid.uuid4())
        self._begun = False
        self._file = hashlib.sha256()
        self._function = Function()
        self._runtime: runtimes.Runtime

    async def become_function(self) -> Function:
        """Store the code and record its function. Raises the error of the form."""
        await self._form.until_file()
        options.suffix_of(self._form.filename)
        if "runtime" in self._form.fields:  # refused before a gigabyte is sent in vain
            await self._settle()
        code = await self._store()
        stored = StoredCode(self._function, self._runtime, code, self._form.filename)
        fingerprint = idempotency.of_form(self._form.fields, self._form.filename, self._file.digest())
        return await record(self._grid, stored, self._attempt.reservation, fingerprint)

    async def undo(self) -> None:
        """Delete the stored code, unless a function may have been recorded under the key, for a repeated request."""
        if not await self._attempt.give_up() or not self._begun:
            return
        registry, artifacts, function_id = self._grid.registry, self._grid.artifacts, self._function_id
        for step in (
            # The registry may have recorded the function without an answer.
            lambda: registry.DeleteFunction(DeleteFunctionRequest(function_id=function_id), timeout=backends.ANSWER_S),
            lambda: artifacts.DeleteCode(DeleteCodeRequest(function_id=function_id), timeout=backends.ANSWER_S),
        ):
            try:
                await step()
            except NanoGridError as error:
                log.debug("upload not undone", function_id=function_id, error=error.message)

    async def _store(self) -> CodeInfo:
        self._begun = True
        try:
            return (await self._grid.artifacts.UploadCode(self._requests())).code
        except asyncio.CancelledError:
            # gRPC cancels the call when its request iterator fails, and loses the error.
            if self._refusal is None:
                raise
            raise self._refusal from None

    async def _requests(self) -> AsyncIterator[UploadCodeRequest]:
        try:
            header = UploadCodeHeader(function_id=self._function_id, filename=self._form.filename)
            yield UploadCodeRequest(header=header)
            async for piece in self._form.file():
                if self._attempt.reservation is not None:  # costs a second of CPU per gigabyte, so only with a key
                    self._file.update(piece)
                yield UploadCodeRequest(chunk=piece)
            await self._settle()
            yield UploadCodeRequest(end=True)
        except Exception as refusal:
            self._refusal = refusal
            raise

    async def _settle(self) -> None:
        self._function = options.from_form(self._form.fields)
        self._function.function_id = self._function_id
        self._runtime = await backends.resolve_runtime(self._request, self._function.runtime)
        options.check_fits(options.suffix_of(self._form.filename), self._runtime)
