"""Finds what a handler's name means: a function to call, or a module to run as a program."""

from __future__ import annotations

import importlib
import os
import symtable
import sys

from nanogrid_runtime.failures import FunctionFailed

_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST; the module `ast` itself is not needed


class Program:
    """A module that is run as `__main__`, once per call, from source compiled once."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path = path
        self.code = compile(source, path, "exec", dont_inherit=True)


def load(handler: str, code: str):  # noqa: ANN201 - a Program or whatever the function's author made callable
    """Return the callable behind `handler`, or its Program. Exceptions of user code, while imported, come through."""
    module_name, _, attribute = handler.replace("/", ".").rpartition(".")
    if not module_name or not attribute:
        raise FunctionFailed("InitError", f"handler: {handler!r} is not of the form module.function")
    path = _source_of(module_name, code)
    if path is not None and attribute == "handler":
        with open(path, "rb") as file:
            source = file.read()
        if not _defines(source, path, attribute):
            return Program(path, source)
    return _callable(_imported(module_name, code), module_name, attribute)


def _imported(name: str, code: str):  # noqa: ANN202 - a module
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and (name == missing.name or name.startswith(missing.name + ".")):
            there = ", ".join(sorted(os.listdir(code))[:20]) or "nothing"
            raise FunctionFailed("InitError", f"handler: there is no module {name!r}; the code has: {there}") from None
        raise
    except SystemExit as ended:
        raise FunctionFailed("InitError", f"{name} exited while it was imported (status {ended.code!r})") from None


def _callable(module, name: str, attribute: str):  # noqa: ANN001, ANN202 - a module and what is in it
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise FunctionFailed("InitError", f"handler: module {name!r} has no {attribute!r}") from None
    if not callable(found):
        raise FunctionFailed("InitError", f"handler: {name}.{attribute} is not a function but {type(found).__name__}")
    return found


def _source_of(module: str, code: str) -> str | None:
    stem = os.path.join(code, *module.split("."))
    for path in (os.path.join(stem, "__init__.py"), stem + ".py"):
        if os.path.isfile(path):
            return path
    return None


def _defines(source: bytes, path: str, name: str) -> bool:
    """Whether the module gives `name` a value at top level, as far as reading it can tell."""
    tree = compile(source, path, "exec", _ONLY_AST, dont_inherit=True)
    for statement in tree.body:
        if type(statement).__name__ == "ImportFrom" and statement.names[0].name == "*":
            return True  # it may come from there; importing will tell
    table = symtable.symtable(source, path, "exec")
    try:
        symbol = table.lookup(name)
    except KeyError:
        return False
    return symbol.is_assigned() or symbol.is_imported()


def prepare(code: str, env: dict) -> None:
    """Make the process the function's: its environment, its folder, its import path."""
    os.environ.update(env)
    if "TZ" in env:
        import time  # noqa: PLC0415 - rarely needed

        time.tzset()
    os.chdir(code)
    sys.path[:0] = [code, *[entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]]
    sys.argv = [code]
    importlib.invalidate_caches()
