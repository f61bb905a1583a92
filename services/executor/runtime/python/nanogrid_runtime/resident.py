"""The life of the process: hello, specialise, then call after call until the executor hangs up."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys

from nanogrid_runtime import calling, loading, wire
from nanogrid_runtime.failures import FunctionFailed, describe

_SENDING, _SENT = b"<", b">"  # what a child tells its parent about its answer


def main(folder: str) -> None:
    """Serve until the executor hangs up."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    control = wire.Wire(folder)
    version = "{}.{}.{}".format(*sys.version_info[:3])
    control.send(wire.HELLO, {"runtime": "python", "version": version, "pid": os.getpid()})
    try:
        _serve(control)
    except (EOFError, ConnectionError):  # the executor hung up: when it was asked, or when it was answered
        calling.flush()
        os._exit(0)


def _serve(control: wire.Wire) -> None:
    kind, body = control.receive()
    if kind != wire.SPECIALISE:
        raise EOFError
    function = json.loads(bytes(body))
    try:
        loading.prepare(function["code"], function["env"])
        loaded = loading.load(function["handler"], function["code"])
    except BaseException as error:
        failure = _as_init_error(error)
        calling.flush()
        control.send(wire.FAILED, failure)
        raise EOFError from None
    calling.flush()
    is_program = isinstance(loaded, loading.Program)
    control.send(wire.READY, {"kind": "program" if is_program else "handler"})
    del body
    if is_program or function["mode"] == "fresh":
        Forked(control, loaded, function).serve()
    while True:
        control.send(wire.DONE, *calling.call_handler(loaded, *_next_call(control), function))


def _as_init_error(error: BaseException) -> dict:
    if isinstance(error, SystemExit):
        error = FunctionFailed("InitError", f"the function exited while it was loaded (status {error.code!r})")
    return describe(error, "InitError")


def _next_call(control: wire.Wire) -> tuple[dict, bytes]:
    kind, body = control.receive()
    if kind != wire.CALL:
        raise EOFError
    return wire.split(body)


class Forked:
    """Calls in child processes. The next child is forked ahead and waits for its call on the socket by itself."""

    def __init__(self, control: wire.Wire, loaded, function: dict) -> None:  # noqa: ANN001 - a callable or Program
        self._control = control
        self._loaded = loaded
        self._function = function
        self._told, self._tell = os.pipe()
        os.set_blocking(self._told, False)

    def serve(self) -> None:
        """Fork, wait, answer for a child that could not, again and again."""
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page it looks at
        while True:
            child = os.fork()
            if child == 0:
                self._serve_one()
            _, status = os.waitpid(child, 0)
            self._answer_for(status)
            self._clean_up()

    def _serve_one(self) -> None:
        if not isinstance(self._loaded, loading.Program):
            self._rehearse()
        try:
            header, payload = _next_call(self._control)
        except EOFError:
            os._exit(0)
        self._reseed()
        if isinstance(self._loaded, loading.Program):
            sys.exit(calling.run_program(self._loaded, header, payload))
        answer = calling.call_handler(self._loaded, header, payload, self._function)
        os.write(self._tell, _SENDING)
        self._control.send(wire.DONE, *answer)
        os.write(self._tell, _SENT)
        os._exit(0)

    def _rehearse(self) -> None:
        """Walk the road of a call once while nobody waits: writing to a page shared with the parent copies it."""
        calling.call_handler(lambda event, _: event, {"job_id": ""}, b'{"a": [1, "b"]}', self._function)

    def _answer_for(self, status: int) -> None:
        try:
            told = os.read(self._told, 16)
        except BlockingIOError:
            told = b""
        if told.endswith(_SENT):
            return
        if told:
            raise EOFError  # half an answer is out: only hanging up is understood now
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self._control.send(wire.DONE, {"exit_code": code}, b"")

    def _clean_up(self) -> None:
        """Nothing a call started outlives it, where we are sure that all we can see is the sandbox's."""
        if self._function["own_pids"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, 9)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

    def _reseed(self) -> None:
        # The module random reseeds itself after a fork, numpy does not.
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
