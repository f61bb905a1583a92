"""Describes failures of user code for its author: type, message, and a stack without the runtime's frames."""

from __future__ import annotations

import os
import traceback  # before /code is on the path: a function may have a traceback.py of its own
from json import dumps  # by itself: a function may put another into the module

from nanogrid_runtime.hints import hint

_NAME = type.__dict__["__name__"]
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_IMPORTLIB = os.path.join(os.path.dirname(os.__file__), "importlib")

MESSAGE_CHARS = 8_192
STACK_CHARS = 65_536  # a thousand frames
# Of the 256 KiB that the executor accepts as a header. JSON needs up to 12 bytes for a character, so a message 96 KiB.
_STACK_BYTES = 128 * 1024


class FunctionFailed(Exception):  # noqa: N818 - no error of the runtime
    """A failure with its type in the contract's vocabulary."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def describe(error: BaseException, kind: str, event: object = None, *, in_call: bool = False) -> dict:
    """Return the failure in the form sent to the executor. `kind` is its type in the contract.

    `in_call` says that a handler raised it, when called with `event`.
    """
    if isinstance(error, FunctionFailed):
        return {"type": error.kind, "message": _shown(str(error))[:MESSAGE_CHARS], "stack": ""}
    if isinstance(error, MemoryError):
        kind = "OutOfMemory"
    cure = _cure(error, event, in_call=in_call)
    return {"type": kind, "message": _sentence(error)[: MESSAGE_CHARS - len(cure)] + cure, "stack": stack_of(error)}


def as_init_error(error: BaseException) -> dict:
    """Describe why a function could not be loaded."""
    if isinstance(error, SystemExit):
        error = FunctionFailed("InitError", f"the function exited while it was loaded (status {error.code!r})")
    return describe(error, "InitError")


def _shown(text: str) -> str:
    """Return the text with lone surrogates escaped, which JSON cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def stack_of(error: BaseException) -> str:
    """Return the traceback as Python prints it, starting at the function's own first frame."""
    try:
        lines = traceback.format_exception(type(error), error, users_part(error))
    except Exception:  # an exception with attributes that raise
        return ""
    text = _shown("".join(lines))
    half = STACK_CHARS // 2
    if len(text) > STACK_CHARS:
        text = _middle_cut(text, half)
    while len(dumps(text)) > _STACK_BYTES:
        half //= 2
        text = _middle_cut(text, half)
    return text


def _middle_cut(text: str, half: int) -> str:
    return text[:half] + "\n  […]\n" + text[-half:]


def users_part(error: BaseException):  # noqa: ANN201 - types.TracebackType | None, not worth an import here
    """Return the traceback from where it last leaves the runtime, and the import machinery after that."""
    trace = step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename.startswith(_OURS):
            trace = step.tb_next
        step = step.tb_next
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_IMPORTLIB, "<frozen importlib")):
        trace = trace.tb_next
    return trace


def _cure(error: BaseException, event: object, *, in_call: bool) -> str:
    try:
        return hint(error, event, in_call=in_call, by_author=users_part(error) is not None)
    except Exception:  # an exception with attributes that raise
        return ""


def _sentence(error: BaseException) -> str:
    name = _NAME.__get__(type(error))  # a metaclass may have a __name__ of its own, which raises
    try:
        text = str(error)
    except Exception:
        text = "its message cannot be shown"
    return _shown(f"{name}: {text}" if text else name)[:MESSAGE_CHARS]
