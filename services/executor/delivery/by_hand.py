"""Completes messages put on the queue by hand: fills in the fields and the owner that they leave out."""

import time
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import replace

from nanogrid.artifacts import Artifacts
from nanogrid.caller import LOCAL_PRINCIPAL
from nanogrid.defaults import fill_defaults
from nanogrid.errors import NanoGridError, NotFoundError, UnavailableError
from nanogrid.jobs.identity import identify
from nanogrid.jobs.message import MalformedError, Message
from nanogrid.runtimes import ALIASES, RUNTIMES
from nanogrid.timestamps import set_millis
from nanogrid.v1.resources_pb2 import Function, Job

# Reads a function of any owner. NotFoundError when the registry has none with this id.
FindFunction = Callable[[str], Awaitable[Function]]

_INLINE_RUNTIME = "python"


class MessageCompleter:
    """Completes messages. Safe to use concurrently. Code is taken from `bucket` only."""

    def __init__(self, find: FindFunction, artifacts: Artifacts, bucket: str) -> None:
        self._find = find
        self._artifacts = artifacts
        self._bucket = bucket

    async def complete(self, message: Message) -> Message:
        """Return the complete message. A message of the invoker is returned as it is.

        MalformedError when it can never be run, UnavailableError while a service is down.
        """
        if message.code_bucket not in ("", self._bucket):
            raise MalformedError(
                f"code is taken from bucket {self._bucket!r} only, not from {message.code_bucket!r} (S3_CODE_BUCKET)",
                "CodeNotFound",
            )
        if message.job.owner:
            return message
        known = await self._known(message.job.function_id)
        function = completed(message, known)
        if function.s3_key and not function.code_sha256:
            function.code_sha256 = await self._digest(function.s3_key)
        job = _job(message.job, function)
        return replace(message, job=job, function=function, identity=identify(function, message.inline_code))

    async def owner_of(self, function_id: str) -> str:
        """Return the owner of a message by hand with this function. UnavailableError while the registry is down."""
        known = await self._known(function_id)
        return known.owner if known is not None else LOCAL_PRINCIPAL

    async def _known(self, function_id: str) -> Function | None:
        try:
            return await self._find(function_id) if function_id else None
        except NotFoundError:
            return None
        except NanoGridError as error:
            raise UnavailableError(f"the registry cannot be asked for the function: {error.message}") from None

    async def _digest(self, s3_key: str) -> str:
        """Return the current digest of a bundle, or "" when there is no bundle, which the run reports."""
        try:
            async for part in self._artifacts.fetch_bundle(s3_key):
                if isinstance(part, str):
                    return part
        except NotFoundError:
            return ""
        except NanoGridError as error:
            raise UnavailableError(f"artifacts cannot be asked for the code: {error.message}") from None
        return ""


def completed(message: Message, known: Function | None) -> Function:
    """Return the function to run. Fields missing in the message come from the registry, then from the defaults. Pure.

    MalformedError when neither the registry nor the message names the code. A digest is never taken from the message:
    it could select cached code that does not match the key.
    """
    function, said = Function(), message.function
    if known is not None:
        function.CopyFrom(known)
        if known.runtime in ALIASES.get(said.runtime, ()) or said.runtime == known.requested_runtime:
            said = _without_runtime(said)
    function.MergeFrom(said)
    function.code_sha256 = known.code_sha256 if known is not None and function.s3_key == known.s3_key else ""
    function.owner = known.owner if known is not None else LOCAL_PRINCIPAL
    if message.inline_code:
        function.s3_key = function.code_sha256 = ""
        function.runtime = function.runtime or _INLINE_RUNTIME
    elif not function.s3_key:
        raise MalformedError(
            f"function {function.function_id} is unknown, and the message names no code to run", "CodeNotFound"
        )
    elif not function.runtime:
        raise MalformedError(
            f"runtime is missing, and function {function.function_id} is unknown", "RuntimeNotSupported"
        )
    # As the registry does: macOS spells the names of files decomposed, and both spellings shall share a sandbox.
    function.handler = unicodedata.normalize("NFC", function.handler)
    if (runtime := RUNTIMES.get(function.runtime)) is not None:
        function.handler = runtime.handler_as_meant(function.handler)
    return fill_defaults(function)


def _without_runtime(said: Function) -> Function:
    copy = Function()
    copy.CopyFrom(said)
    copy.runtime = ""
    return copy


def _job(known: Job, function: Function) -> Job:
    job = Job()
    job.CopyFrom(known)
    job.owner, job.runtime, job.memory_mb = function.owner, function.runtime, function.memory_mb
    job.s3_key, job.code_sha256 = function.s3_key, function.code_sha256
    if not job.created_at.seconds:
        set_millis(job.created_at, time.time_ns() // 1_000_000)  # records hold milliseconds
    return job
