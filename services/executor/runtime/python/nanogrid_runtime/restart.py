"""Restarts the interpreter in the same process when only a new one will do, with the control socket kept open.

Some variables are read when a process starts and never again (by the loader, malloc, Python itself), but a generic
runtime learns its function's environment only later. And a process with threads cannot be forked for a fresh call.
"""

from __future__ import annotations

import os
import socket
import sys
from json import dumps, loads  # by themselves: a function may put others into the module

from nanogrid_runtime.wire import Wire

_ENVIRON = dict(os.environ)  # before a function's code could change it

# Read at the start of a process: by the dynamic loader, glibc and its malloc, Python; by Go's runtime when a library
# of it is loaded, from the process's first environment.
_READ_AT_START = ("GLIBC_", "LC_", "LD_", "MALLOC_", "PYTHON")
_READ_AT_START_NAMES = {"LANG", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"}
# Its entries would precede the standard library that the runtime needs: `loading` adds them.
_ADDED_LATER = "PYTHONPATH"

_LOADS_IN_CHILDREN = "children"


def is_needed(env: dict) -> bool:
    """Return whether a function's environment has variables that this process should have been started with."""
    return any(
        (name.startswith(_READ_AT_START) or name in _READ_AT_START_NAMES)
        and name != _ADDED_LATER
        and os.environ.get(name) != value
        for name, value in env.items()
    )


def restart(control: Wire, function: dict, *, loads_in_children: bool = False):  # noqa: ANN201 - it does not return
    """Become a new interpreter that goes on with `function`."""
    carried = os.memfd_create("function", 0)
    with open(carried, "wb", closefd=False) as file:
        file.write(dumps(function).encode())
    os.lseek(carried, 0, os.SEEK_SET)
    os.set_inheritable(control.fileno(), True)
    env = {**_ENVIRON, **function["env"]}
    env.pop(_ADDED_LATER, None)
    # Not the path of __main__, which may be the function's by now.
    main = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "main.py")
    how = _LOADS_IN_CHILDREN if loads_in_children else ""
    os.execve(sys.executable, [sys.executable, main, str(control.fileno()), str(carried), how], env)  # noqa: S606


def resume(arguments: list) -> tuple[Wire, dict, bool]:
    """Take over from `restart`: the connection, the function, and True if it is to be loaded in children."""
    connected, carried, how = arguments
    control = Wire(socket.socket(fileno=int(connected)))
    os.set_inheritable(control.fileno(), False)
    with open(int(carried), "rb") as file:
        function = loads(file.read())
    return control, function, how == _LOADS_IN_CHILDREN
