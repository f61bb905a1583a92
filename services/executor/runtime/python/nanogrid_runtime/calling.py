"""Runs one call: a handler in this process, or a program in a child's."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import sys
import time

from nanogrid_runtime.environment import set_call
from nanogrid_runtime.failures import FunctionFailed, describe, users_part

_NO_LIMIT_MS = 2**31 - 1  # what a call without a deadline has left: more than anyone waits for


class Context:
    """What a handler learns about its call; the names are AWS Lambda's where it has one."""

    def __init__(self, header: dict, function: dict) -> None:
        self.job_id = self.aws_request_id = header["job_id"]
        self.function_id = function["function_id"]
        self.function_name = function["function_id"]
        self.memory_limit_mb = self.memory_limit_in_mb = function["memory_mb"]
        self._deadline_ms = header.get("deadline_ms")

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call is cut off."""
        if self._deadline_ms is None:
            return _NO_LIMIT_MS
        return max(0, int(self._deadline_ms - time.time() * 1000))


class Loop:
    """The event loop of coroutine handlers: one for the process, so that clients may be kept between calls."""

    def __init__(self) -> None:
        self._loop = None

    def finish(self, awaitable):  # noqa: ANN001, ANN201 - whatever the handler returned
        """Return the awaited result."""
        import asyncio  # noqa: PLC0415 - most functions never need it

        async def wait():  # noqa: ANN202
            return await awaitable

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(wait())


_LOOP = Loop()


def call_handler(handler, header: dict, payload: bytes, function: dict) -> tuple[dict, bytes]:  # noqa: ANN001
    """Return the answer's header and the result as JSON. SystemExit comes through: the process is to end."""
    try:
        set_call(header["job_id"], payload)
        result = handler(json.loads(payload), Context(header, function))
        if hasattr(result, "__await__"):
            result = _LOOP.finish(result)
        answer = {}, _as_json(result, function["result_bytes"])
    except SystemExit:
        raise
    except BaseException as error:
        answer = {"error": describe(error, "HandlerError")}, b""
    flush()
    return answer


def run_program(program, header: dict, payload: bytes) -> int:  # noqa: ANN001 - a loading.Program
    """Run the program as Python itself would; call it in a process of its own and exit with what it returns."""
    set_call(header["job_id"], payload)
    stdin = os.open(os.environ["PAYLOAD_FILE"], os.O_RDONLY)
    os.dup2(stdin, 0)
    os.close(stdin)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the program
    sys.argv = [program.path]
    main = type(sys)("__main__")
    main.__file__ = program.path
    main.__builtins__ = builtins
    ours, sys.modules["__main__"] = sys.modules["__main__"], main
    main.__dict__["__nanogrid_runtime__"] = ours  # a module without a reference loses its globals
    try:
        exec(program.code, main.__dict__)  # noqa: S102 - running it is what we are for
    except SystemExit:
        raise
    except BaseException as error:
        trace = users_part(error)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 1
    return 0


def flush() -> None:
    """Push everything printed so far out of this process, through whatever stands in for the streams now."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed or replaced by the function: then there is nothing to flush
            stream.flush()


def _as_json(result: object, limit: int) -> bytes:
    try:
        encoded = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
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
