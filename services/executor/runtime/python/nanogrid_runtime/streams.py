"""Output of Python and of C code in the same process, flushed so that each call has its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_libc = ctypes.CDLL(None)
_libc.fflush.argtypes = [ctypes.c_void_p]
_C_STREAMS = [ctypes.c_void_p.in_dll(_libc, name) for name in ("stdout", "stderr")]


def set_up() -> None:
    """Make Python's streams speak UTF-8 whatever the locale, line by line. PYTHONIOENCODING is the user's own word."""
    chosen = {} if "PYTHONIOENCODING" in os.environ else {"encoding": "utf-8", "errors": "backslashreplace"}
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, **chosen)
    # Fortran prints through buffers of its own, which cannot be flushed from here.
    os.environ.setdefault("GFORTRAN_UNBUFFERED_PRECONNECTED", "y")


def flush() -> None:
    """Push everything printed so far out of this process, through whatever stands in for the streams now."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed or replaced by the function: then there is nothing to flush
            stream.flush()
    if len(sys._current_frames()) == 1:  # noqa: SLF001 - the one way to count threads that the function cannot spoil
        _libc.fflush(None)
        return
    # Flushing all of C's files waits for each one's lock, which a thread that reads from it may hold for ever.
    for stream in _C_STREAMS:
        _libc.fflush(stream)


@contextlib.contextmanager
def silenced():  # noqa: ANN201 - an iterator, not worth an import here
    """Drop the output of Python, of C and of child processes meanwhile."""
    flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number, _ in kept:
        os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        flush()
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
