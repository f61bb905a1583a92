"""POST /upload: code on its way to artifacts, never held whole here, and then the function it becomes."""

import asyncio
import uuid
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends, openapi, options
from gateway.forms import Form
from gateway.routes.functions import created, record
from nanogrid import runtimes
from nanogrid.errors import NanoGridError
from nanogrid.logs import logger
from nanogrid.v1.artifacts_pb2 import CodeInfo, DeleteCodeRequest, UploadCodeHeader, UploadCodeRequest
from nanogrid.v1.registry_pb2 import DeleteFunctionRequest
from nanogrid.v1.resources_pb2 import Function

router = APIRouter()
log = logger()


@router.post("/upload", status_code=201, openapi_extra=openapi.UPLOAD)
async def upload(request: Request) -> Response:
    """Upload code as a new function."""
    grid = backends.of(request)
    form = Form(request, backends.settings_of(request).gateway_upload_bytes, options.UPLOAD_FIELDS)
    await form.until_file()
    arriving = _Upload(grid, form)
    await arriving.check_what_came_first()
    try:
        code = await arriving.store()
        function = await record(grid, arriving.function, arriving.runtime, code, form.filename)
    except BaseException:
        await asyncio.shield(_undo(grid, arriving.function_id))
        raise
    return created(function)


class _Upload:
    """Streams a form's file to artifacts.

    The stream ends only when the whole form is known to be good. What is refused before is cancelled, and undone all
    the same: to the other side a cancelled stream may look like one that came to its end.
    """

    def __init__(self, grid: backends.Backends, form: Form) -> None:
        self._grid = grid
        self._form = form
        self._suffix = options.suffix_of(form.filename)
        self._refusal: Exception | None = None
        self.function_id = str(uuid.uuid4())
        self.function = Function()
        self.runtime: runtimes.Runtime

    async def check_what_came_first(self) -> None:
        """Refuse fields that came before the file, before a gigabyte is sent for nothing."""
        if "runtime" in self._form.fields:
            await self._settle()

    async def store(self) -> CodeInfo:
        """Store the code; `function` and `runtime` are known then. Raises what was wrong with the form."""
        try:
            return (await self._grid.artifacts.UploadCode(self._requests())).code
        except asyncio.CancelledError:
            # gRPC cancels the call when what feeds it fails, and forgets why.
            if self._refusal is None:
                raise
            raise self._refusal from None

    async def _requests(self) -> AsyncIterator[UploadCodeRequest]:
        try:
            yield UploadCodeRequest(header=UploadCodeHeader(function_id=self.function_id, filename=self._form.filename))
            async for piece in self._form.file():
                yield UploadCodeRequest(chunk=piece)
            await self._settle()
        except Exception as refusal:
            self._refusal = refusal
            raise

    async def _settle(self) -> None:
        self.function = options.from_form(self._form.fields)
        self.function.function_id = self.function_id
        self.runtime = runtimes.resolve(self.function.runtime, await self._grid.offered.names())
        options.check_fits(self._suffix, self.runtime)


async def _undo(grid: backends.Backends, function_id: str) -> None:
    """Leave nothing of an upload that could not be recorded; if the registry did record it unheard, not that either."""
    for step in (
        grid.registry.DeleteFunction(DeleteFunctionRequest(function_id=function_id), timeout=backends.ANSWER_S),
        grid.artifacts.DeleteCode(DeleteCodeRequest(function_id=function_id), timeout=backends.ANSWER_S),
    ):
        try:
            await step
        except NanoGridError as error:
            log.debug("upload not undone", function_id=function_id, error=error.message)
