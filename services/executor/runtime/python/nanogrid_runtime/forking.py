"""Runs calls in child processes. The next child is forked ahead and waits for its call on the socket."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import warnings

from nanogrid_runtime import calling, loading, streams, wire
from nanogrid_runtime.failures import as_init_error

# Messages of a child to its parent: the handler is loaded, the answer is being sent, it is sent, loading failed.
_READY, _SENDING, _SENT, _FAILED = b"r", b"<", b">", b"x"


def can_fork() -> bool:
    """Return whether a fork would copy everything that runs: there are no other threads and no child processes."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return False
    if _threads() == 1:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of just this
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return _threads() == 1  # libraries that can be forked, OpenBLAS for one, stop their threads for it


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def kill_others(function: dict) -> None:
    """Kill all other processes, if only those of the sandbox are visible."""
    if function["own_pids"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, 9)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


class Forked:
    """The parent of all calls. `loaded` is a callable or Program. None = each child loads the handler itself."""

    def __init__(self, control: wire.Wire, function: dict, loaded=None) -> None:  # noqa: ANN001
        self._control = control
        self._function = function
        self._loaded = loaded
        self._is_ready = loaded is not None  # as the executor was told
        self._told, self._tell = os.pipe()
        os.set_blocking(self._told, False)

    def serve(self) -> None:
        """Serve calls for ever: fork a child, wait for its end, and answer for it if it did not."""
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page it reads
        # A handler of the module's own would take the children's statuses away from here.
        reaper = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while True:
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGCHLD, reaper or signal.SIG_DFL)
                self._serve_one()
            _, status = os.waitpid(child, 0)
            self._answer_for(status)
            kill_others(self._function)

    def _serve_one(self) -> None:
        if isinstance(self._loaded, loading.Program):
            header, payload = self._next_call()
            self._control.close()  # its parent answers for it
            os.close(self._told)
            os.close(self._tell)
            sys.exit(calling.run_program(self._loaded, header, payload))
        self._rehearse()
        failure = self._load() if self._loaded is None else None
        header, payload = self._next_call()
        if failure is None:
            answer = calling.call_handler(self._loaded, header, payload, self._function)
        else:
            answer = {"error": failure}, b""
        os.write(self._tell, _SENDING)
        self._control.send(wire.DONE, *answer)
        os.write(self._tell, _SENT)
        os._exit(0)

    def _next_call(self) -> tuple[dict, bytes]:
        try:
            call = wire.next_call(self._control)
        except EOFError:
            os._exit(0)
        # The module random reseeds itself after a fork, numpy does not.
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        return call

    def _load(self) -> dict | None:
        """Load the handler in this child, without its output, which was printed once. Return the failure, or None."""
        failure = None
        try:
            with streams.silenced():
                self._loaded = loading.load(self._function)
        except BaseException as error:
            failure = as_init_error(error)
        if not self._is_ready and failure is not None:
            self._control.send(wire.FAILED, failure)
            os.write(self._tell, _FAILED)
            os._exit(0)
        if not self._is_ready:
            self._control.send(wire.READY, {"kind": "handler"})
            os.write(self._tell, _READY)
        return failure

    def _rehearse(self) -> None:
        """Rehearse a call before one comes: writing to a page shared with the parent copies it."""
        calling.call_handler(lambda event, _: event, {"job_id": ""}, b'{"a": [1, "b"]}', self._function)

    def _answer_for(self, status: int) -> None:
        try:
            told = os.read(self._told, 16)
        except BlockingIOError:
            told = b""
        killer = os.WTERMSIG(status)
        code = 128 + killer if killer else os.WEXITSTATUS(status)
        self._is_ready = self._is_ready or _READY in told
        if not self._is_ready and _FAILED not in told:
            os._exit(code)  # the child died while loading, which PID 1 reports
        if told.endswith(_SENT):
            return
        if told.endswith((_SENDING, _FAILED)):
            raise EOFError  # after half an answer, or the last one, the connection must be closed
        self._control.send(wire.DONE, {"exit_code": code, "signal": killer}, b"")
