"""Derives the error of a call from its end. Pure."""

import signal
from dataclasses import dataclass

from services.executor.sandbox import CallError, Kind
from services.executor.sandbox.cgroup import Usage
from services.executor.sandbox.frames import Done

KILLED = 128 + signal.SIGKILL
_SIGNALLED = 128
_LAST_SIGNAL = 64
_KILLED = "the sandbox was killed from outside while the function ran"


@dataclass(frozen=True, slots=True)
class Exited:
    """The runtime ended without an answer. `code` is None when it only closed the connection.

    `signal` is the number of the signal that killed it, 0 when it exited, None when unknown.
    """

    code: int | None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Killed:
    """PID 1 is gone, which nothing inside can bring about, and did not say how the runtime ended."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The call timed out and everything was killed."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Oversized:
    """The answer was larger than the limit of results."""

    size_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The sandbox broke the protocol."""

    why: str


Ending = Done | Exited | Killed | TimedOut | Oversized | Broken


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a call. `spent`: the sandbox must not serve again."""

    error: CallError | None
    exit_code: int | None
    spent: bool


def judge(ending: Ending, kind: Kind, usage: Usage, memory_mb: int) -> Verdict:
    """Return the verdict on a call. A call with an OOM kill is OutOfMemory, independent of the runtime's report."""
    verdict = _judge(ending, kind)
    if usage.oom_killed and verdict.error is not None and not isinstance(ending, TimedOut):
        message = f"out of memory: the limit is {memory_mb} MB and the peak was {usage.peak_bytes >> 20} MB"
        return Verdict(CallError("OutOfMemory", message, verdict.error.stack), verdict.exit_code, spent=True)
    return verdict


def _judge(ending: Ending, kind: Kind) -> Verdict:
    match ending:
        case Done(error=error, exit_code=code, signal=number):
            returned = code is None or (code == 0 and kind is Kind.PROGRAM)
            if error is None and not returned:
                error = CallError("ExitError", exit_sentence(code, number))
            return Verdict(error, code, spent=False)
        case Exited(code, number):
            return Verdict(CallError("ExitError", exit_sentence(code, number)), code, spent=True)
        case Killed():
            return Verdict(CallError("Lost", _KILLED), None, spent=True)
        case TimedOut(limit_s):
            return Verdict(CallError("Timeout", f"timed out after {limit_s:g} s"), KILLED, spent=True)
        case Oversized(size, limit):
            message = f"the result is {size} bytes; the limit is {limit}"
            return Verdict(CallError("ResultInvalid", message), None, spent=True)
        case Broken(why):
            message = f"the function wrote to the runtime's own socket ({why})"
            return Verdict(CallError("HandlerError", message), None, spent=True)


def judge_init(ending: Exited | Killed | TimedOut | Oversized | Broken, usage: Usage, memory_mb: int) -> CallError:
    """Return the error of a function that could not be loaded and that its runtime did not report."""
    error = _judge(ending, Kind.HANDLER).error
    assert error is not None
    if usage.oom_killed and not isinstance(ending, TimedOut):
        return CallError("OutOfMemory", f"out of memory while loading: the limit is {memory_mb} MB")
    return error if isinstance(ending, Killed) else CallError("InitError", f"while loading: {error.message}")


def exit_sentence(code: int | None, number: int | None = None) -> str:
    """Return a sentence for an exit status. `number` is the signal, 0 = none. If unknown, the status tells it."""
    if code is None:
        return "the function closed the runtime's connection"
    if number is None:
        number = code - _SIGNALLED if _SIGNALLED < code <= _SIGNALLED + _LAST_SIGNAL else 0
    if number == 0:
        return f"the function's process exited with status {code}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"the function's process was killed by {name} (status {code})"
