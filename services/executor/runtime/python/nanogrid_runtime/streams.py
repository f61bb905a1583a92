"""Flushes the output of Python and of C code in the same process, so that each call has its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_libc = ctypes.CDLL(None)
_libc.fflush.argtypes = [ctypes.c_void_p]
_libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_C_STREAMS = [ctypes.c_void_p.in_dll(_libc, name) for name in ("stdout", "stderr")]
_BY_LINE = 1  # _IOLBF


def set_up() -> None:
    """Set Python's streams to UTF-8 in any locale, unless PYTHONIOENCODING is set, and to lines. C's stdout as well."""
    chosen = {} if "PYTHONIOENCODING" in os.environ else {"encoding": "utf-8", "errors": "backslashreplace"}
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, **chosen)
    _libc.setvbuf(_C_STREAMS[0], None, _BY_LINE, 0)
    # Fortran has separate buffers, which cannot be flushed from here.
    os.environ.setdefault("GFORTRAN_UNBUFFERED_PRECONNECTED", "y")


def flush() -> None:
    """Flush everything printed so far, also through streams that the function has replaced."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed or replaced by the function, with nothing to flush
            stream.flush()
    if len(sys._current_frames()) == 1:  # noqa: SLF001 - the only count of threads that the function cannot change
        _libc.fflush(None)
        return
    # Flushing all C files waits for the lock of each, which a reading thread may hold for ever.
    for stream in _C_STREAMS:
        _libc.fflush(stream)


@contextlib.contextmanager
def silenced():  # noqa: ANN201 - an iterator, not worth an import here
    """Drop the output of Python, C code and child processes inside the block."""
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
