"""Serves the executor: loads one function, then answers calls until the executor closes the connection."""

from __future__ import annotations

import json
import os

from nanogrid_runtime import calling, loading, restart, streams, wire
from nanogrid_runtime.failures import as_init_error
from nanogrid_runtime.forking import Forked, can_fork, kill_others


def main(folder: str, arguments: list) -> None:
    """Serve until the executor closes the connection. `arguments` are those of a restart, if this is one."""
    streams.set_up()
    try:
        if arguments:
            control, function, loads_in_children = restart.resume(arguments)
            _become(control, function, is_new=True, loads_in_children=loads_in_children)
        else:
            control = wire.dial(folder)
            control.greet()
            _become(control, _function(control))
    except (EOFError, ConnectionError):  # the executor closed the connection
        streams.flush()
        os._exit(0)


def _function(control: wire.Wire) -> dict:
    kind, body = control.receive()
    if kind != wire.SPECIALISE:
        raise EOFError
    return json.loads(bytes(body))


def _become(control: wire.Wire, function: dict, *, is_new: bool = False, loads_in_children: bool = False) -> None:
    """Load the function and serve its calls."""
    try:
        if not is_new and restart.is_needed(function["env"]):
            restart.restart(control, function)
        loading.prepare(function["code"], function["env"])
        loaded = None if loads_in_children else loading.load(function)
    except BaseException as error:
        failure = as_init_error(error)
        streams.flush()
        control.send(wire.FAILED, failure)
        raise EOFError from None
    streams.flush()
    _serve(control, function, loaded)


def _serve(control: wire.Wire, function: dict, loaded) -> None:  # noqa: ANN001 - None, a callable or a Program
    if loaded is None:
        Forked(control, function).serve()
    is_program = isinstance(loaded, loading.Program)
    if function["mode"] == "fresh" and not is_program and not can_fork():
        kill_others(function)
        restart.restart(control, function, loads_in_children=True)
    control.send(wire.READY, {"kind": "program" if is_program else "handler"})
    if is_program or function["mode"] == "fresh":
        Forked(control, function, loaded).serve()
    while True:
        control.send(wire.DONE, *calling.call_handler(loaded, *wire.next_call(control), function))
