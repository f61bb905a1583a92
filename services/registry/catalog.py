"""The rules of functions: the checks, the defaults and the visibility of functions."""

import re
import time
import unicodedata
import uuid
from collections.abc import Callable

from nanogrid import caller, limits, paging
from nanogrid.defaults import fill_defaults
from nanogrid.errors import InvalidFieldError, NotFoundError
from nanogrid.ids import canonical_id, unknown_function
from nanogrid.runtimes import RUNTIMES, Runtime
from nanogrid.v1.resources_pb2 import Function, SandboxMode
from services.registry.store import FunctionStore, NamedUpload

EGRESS_OFFERED = False  # sandboxes have no network at all so far; a promise nobody keeps is refused

# Set by NanoGrid for every run; a function's own would be overwritten without a word.
RESERVED_ENV = frozenset({"HANDLER", "JOB_ID", "AI_ENDPOINT", "PAYLOAD", "PAYLOAD_FILE"})

_FUNCTION_KEY = re.compile(r"functions/([^/]+)/(.+)")
_UPLOADED = "code.zip"  # what an upload's bundle is called in the folder of its function
_SHOWN = 64  # characters of a name that an error repeats


class Catalog:
    """Functions as callers know them. Another owner's functions do not exist."""

    def __init__(self, store: FunctionStore, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._store = store
        self._now_us = now_us

    async def create(self, wanted: Function, upload: NamedUpload | None = None) -> Function:
        """Record a function for the caller, defaults filled in, and in the same step the upload that it completes.

        InvalidFieldError or ConflictError otherwise.
        """
        function = Function()
        function.CopyFrom(wanted)
        function.function_id = canonical_id(wanted.function_id)
        function.function_name, function.handler = _composed(wanted.function_name), _composed(wanted.handler)
        if (runtime := RUNTIMES.get(function.runtime)) is not None:
            function.handler = runtime.handler_as_meant(function.handler)
        fill_defaults(function)
        check(function)
        await self._check_code_is_theirs(function)
        function.owner = caller.caller().owner
        function.created_at.FromMicroseconds(self._now_us())
        await self._store.insert_function(function, upload)
        return function

    async def get(self, function_id: str) -> Function:
        """Return a function of the caller's by its id. NotFoundError otherwise."""
        try:
            function = await self._store.get_function(canonical_id(function_id))
        except NotFoundError:
            raise unknown_function(function_id) from None
        if not caller.caller().may_see(function.owner):
            raise unknown_function(function_id)
        return function

    async def newest(self, name: str) -> Function:
        """Return the caller's newest function of this name. NotFoundError when there is none."""
        try:
            return await self._store.newest_function(caller.caller().owner, _composed(name))
        except NotFoundError:
            raise NotFoundError(
                f"no function of yours is called {_composed(name)[:_SHOWN]!r}; GET /functions lists yours",
                field="function_name",
            ) from None

    async def page(self, page_size: int, page_token: str) -> tuple[list[Function], str]:
        """Return the caller's functions, newest first, and the next page's token. All owners' for the grid itself."""
        return await self._store.page_functions(caller.caller().principal, paging.size(page_size), page_token)

    async def delete(self, function_id: str) -> Function:
        """Forget a function of the caller's and return it. NotFoundError when it is not there."""
        function = await self.get(function_id)
        return await self._store.delete_function(function.function_id)

    async def _check_code_is_theirs(self, function: Function) -> None:
        """Check a key below `functions/`: in the folder of this very function, or of one that the caller may see."""
        if not function.s3_key.startswith("functions/"):
            return
        found = _FUNCTION_KEY.fullmatch(function.s3_key)
        if found is None or (_is_uuid(found[1]) and found[2] != _UPLOADED):
            raise InvalidFieldError(
                "s3_key",
                "keys below functions/ are functions/{function_id}/code.zip for uploads, or functions/{name}/… for "
                "code that was put there by hand",
            )
        if found[1] == function.function_id:
            return
        try:
            await self.get(found[1])
        except NotFoundError:
            raise InvalidFieldError(
                "s3_key",
                "is in another function's folder; use a key of a function of yours, leave function_id out to take the "
                "folder's name as the id, or upload the code",
            ) from None


def _composed(name: str) -> str:
    """Return a name as it is typed: macOS spells the names of files with their letters taken apart."""
    return unicodedata.normalize("NFC", name)


def check(function: Function) -> None:
    """InvalidFieldError for the first wrong field, with the cure."""
    _check_identity(function)
    _check_code(function)
    _check_limits(function)
    _check_env(dict(function.env))
    if function.egress and not EGRESS_OFFERED:
        raise InvalidFieldError("egress", "egress is not offered by this grid; leave it out or send false")


def _check_identity(function: Function) -> None:
    function_id = function.function_id
    if not limits.ID.fullmatch(function_id):
        raise InvalidFieldError("function_id", f"{function_id[:64]!r} is not {limits.ID_MEANS}")
    if _is_uuid(function_id) and function_id != str(uuid.UUID(function_id)):
        raise InvalidFieldError("function_id", f"is a UUID, but not in its canonical form {uuid.UUID(function_id)}")
    name = function.function_name
    if not 1 <= len(name) <= limits.MAX_NAME:
        raise InvalidFieldError("function_name", f"has {len(name)} characters; use 1 to {limits.MAX_NAME}")
    if not name.isprintable() or name != name.strip():
        raise InvalidFieldError(
            "function_name", "use printable characters, no control characters, no blank at either end"
        )


def _check_code(function: Function) -> None:
    if function.runtime not in RUNTIMES:
        raise InvalidFieldError("runtime", f"{function.runtime[:64]!r} is not one of {', '.join(RUNTIMES)}")
    if function.requested_runtime and function.requested_runtime not in RUNTIMES:
        raise InvalidFieldError("requested_runtime", f"is not one of {', '.join(RUNTIMES)}")
    _check_handler(function.handler, RUNTIMES[function.runtime])
    _check_key(function.s3_key)
    if function.code_sha256 and not limits.SHA256.fullmatch(function.code_sha256):
        raise InvalidFieldError("code_sha256", "is not 64 lower-case hex digits; leave it out if it is not known")
    if function.code_size_bytes < 0:
        raise InvalidFieldError("code_size_bytes", "is negative; use 0 or more")


def _check_handler(handler: str, runtime: Runtime) -> None:
    if len(handler) > limits.MAX_HANDLER:
        raise InvalidFieldError("handler", f"has {len(handler)} characters; use at most {limits.MAX_HANDLER}")
    if (fault := runtime.fault_of_handler(handler)) is not None:
        raise InvalidFieldError("handler", fault)


def _check_key(key: str) -> None:
    if not 1 <= len(key.encode()) <= limits.MAX_KEY_BYTES:
        raise InvalidFieldError("s3_key", f"has {len(key.encode())} bytes; use 1 to {limits.MAX_KEY_BYTES}")
    if not key.isprintable() or not limits.is_relative_key(key):
        raise InvalidFieldError("s3_key", "use a relative key such as folder/code.zip: no leading /, no .., no //")


def _check_limits(function: Function) -> None:
    _within("timeout_s", function.timeout_s, 0, limits.MAX_TIMEOUT_S, "7 days in seconds; 0 = no limit")
    _within(
        "memory_mb",
        function.memory_mb,
        limits.MIN_MEMORY_MB,
        limits.MAX_MEMORY_MB,
        f"MiB; leave it out for {limits.DEFAULT_MEMORY_MB}",
    )
    _within(
        "max_concurrency", function.max_concurrency, 0, limits.MAX_CONCURRENCY, "0 = as many as the executor has slots"
    )
    if function.mode not in (SandboxMode.SANDBOX_MODE_REUSE, SandboxMode.SANDBOX_MODE_FRESH):
        raise InvalidFieldError("mode", f"{function.mode} is not known; use REUSE or FRESH")


def _within(field: str, value: int, least: int, most: int, meaning: str) -> None:
    if not least <= value <= most:
        raise InvalidFieldError(field, f"is {value}; use {least} to {most} ({meaning})")


def _check_env(env: dict[str, str]) -> None:
    # Sorted, so that of two faults the same one is named every time.
    for name, value in sorted(env.items()):
        if not limits.ENV_NAME.fullmatch(name):
            raise InvalidFieldError("env", f"{name[:64]!r} is not a name; use letters, digits and _, no digit first")
        if name in RESERVED_ENV:
            raise InvalidFieldError("env", f"{name} is set by NanoGrid for every run; choose another name")
        if "\0" in value:
            raise InvalidFieldError("env", f"the value of {name} holds a NUL, which no environment can; encode it")
    size = limits.size_of_env(env)
    if size > limits.MAX_ENV_BYTES:
        raise InvalidFieldError(
            "env",
            f"is {size} bytes together; the limit is {limits.MAX_ENV_BYTES} bytes. Put large values into the code",
        )


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
