"""Runs one call: a handler in this process, or a program in a child process."""

from __future__ import annotations

import atexit
import builtins
import os
import sys
from json import dumps, loads  # by themselves: a function may put others into the module

from nanogrid_runtime.context import Context
from nanogrid_runtime.environment import set_call
from nanogrid_runtime.failures import FunctionFailed, describe, users_part
from nanogrid_runtime.sources import import_standard
from nanogrid_runtime.streams import flush


class Loop:
    """The event loop of coroutine handlers: one for the process, so that clients may be kept between calls."""

    def __init__(self) -> None:
        self._loop = None

    def finish(self, awaitable):  # noqa: ANN001, ANN201 - any value of the handler
        """Return the awaited result."""

        async def wait():  # noqa: ANN202
            return await awaitable

        if self._loop is None:
            asyncio = import_standard("asyncio")  # most functions never need it
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(wait())


_LOOP = Loop()


def call_handler(handler, header: dict, payload: bytes, function: dict) -> tuple[dict, bytes]:  # noqa: ANN001
    """Return the answer's header and the result as JSON. A handler that exits ends the process."""
    event = None
    try:
        set_call(header["job_id"], payload)
        event = _with_any_digits(loads, payload)
        result = handler(event, Context(header, function))
        if hasattr(result, "__await__"):
            result = _LOOP.finish(result)
        answer = {}, _as_json(result, function["result_bytes"])
    except SystemExit as ended:
        _exit(ended)
    except BaseException as error:
        answer = {"error": describe(error, "HandlerError", event, in_call=True)}, b""
    flush()
    return answer


def _exit(ended: SystemExit) -> None:
    """Exit as Python would, but without waiting for threads, because those of a handler may never end."""
    code = ended.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()  # noqa: SLF001 - the public way to run them is to exit
    flush()
    status = code or 0
    os._exit(status & 0xFF if abs(status) < 2**63 else 0xFF)  # as Python does with an integer too large for C


def run_program(program, header: dict, payload: bytes) -> int:  # noqa: ANN001 - a loading.Program
    """Run the program as Python would. Call it in a separate process and exit with its return value."""
    set_call(header["job_id"], payload)
    stdin = os.open(os.environ["PAYLOAD_FILE"], os.O_RDONLY)
    os.dup2(stdin, 0)
    os.close(stdin)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the program
    main = _main_module(program.source)
    try:
        exec(program.code, main.__dict__)  # noqa: S102 - running it is the purpose
    except SystemExit:
        raise
    except BaseException as error:
        trace = users_part(error)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 1
    return 0


def _main_module(source):  # noqa: ANN001, ANN202 - a sources.Source; the module
    """Make the module `__main__` of a script. Its neighbours can be imported, by relative imports too."""
    sys.argv = [source.path]
    if source.folder not in sys.path:
        sys.path.insert(0, source.folder)
    main = type(sys)("__main__")
    main.__file__ = source.path
    main.__builtins__ = builtins
    main.__package__, main.__spec__ = source.package or None, source.spec
    ours, sys.modules["__main__"] = sys.modules["__main__"], main
    main.__dict__["__nanogrid_runtime__"] = ours  # a module without a reference loses its globals
    return main


def _as_json(result: object, limit: int) -> bytes:
    try:
        encoded = _with_any_digits(_encoded, result)
    except UnicodeEncodeError:
        raise FunctionFailed(
            "ResultInvalid", "the result has text that is not valid Unicode (lone surrogates)"
        ) from None
    except RecursionError:
        raise FunctionFailed("ResultInvalid", "the result is nested too deeply for JSON") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise FunctionFailed("ResultInvalid", f"the result is not JSON: {error}") from None
    if len(encoded) > limit:
        raise FunctionFailed("ResultInvalid", f"the result is {len(encoded)} bytes of JSON; the limit is {limit}")
    return encoded


def _encoded(result: object) -> bytes:
    return dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _with_any_digits(convert, value):  # noqa: ANN001, ANN202 - json's functions
    """Convert, and retry without Python's limit of 4,300 digits, which JSON does not have."""
    try:
        return convert(value)
    except ValueError:
        limit = getattr(sys, "get_int_max_str_digits", int)()  # came with 3.11, and later fixes of 3.9 and 3.10
        if not limit:
            raise
        sys.set_int_max_str_digits(0)
        try:
            return convert(value)
        finally:
            sys.set_int_max_str_digits(limit)
