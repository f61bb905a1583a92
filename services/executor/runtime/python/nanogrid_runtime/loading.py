"""Finds the function of a handler's name, or the module to run as a program."""

from __future__ import annotations

import importlib
import os
import sys

from nanogrid_runtime import logs, sources
from nanogrid_runtime.definitions import may_define, only_functions
from nanogrid_runtime.failures import FunctionFailed

_DEFAULT = "handler"  # the attribute of a default handler
_STANDS_IN = "lambda_handler"  # its name in AWS's own examples
_LISTED = 20  # names in a message


class Program:
    """A module that is run as `__main__`, once per call, from source compiled once."""

    def __init__(self, source: sources.Source, text: bytes) -> None:
        self.source = source
        self.code = compile(text, source.path, "exec", dont_inherit=True)


def load(function: dict):  # noqa: ANN201 - a Program or whatever the function's author made callable
    """Return the callable behind the handler, or its Program. Exceptions of user code, while imported, come through."""
    handler, code = function["handler"], function["code"]
    module, _, attribute = _composed(handler).rpartition(".")
    if not module or not attribute:
        raise FunctionFailed("InitError", f"handler: {handler!r} is not of the form module.function")
    attributes = (_DEFAULT, _STANDS_IN) if attribute == _DEFAULT else (attribute,)
    source = sources.find(module, code)
    if source is None and sources.is_taken(module):
        raise _missing(module, code)
    sources.extend_path(code, function["env"].get("PYTHONPATH", ""), library_first=sources.is_taken(module))
    if source is not None:
        text = source.read()
        if attribute == _DEFAULT and not may_define(text, source.path, source.name, attributes):
            if functions := only_functions(text, source.path):
                raise _no_handler(module, functions)
            return Program(source, text)
    logs.install()
    return _callable(_imported(module, source, code), module, attributes)


def _composed(name: str) -> str:
    """Return the name composed (NFC), as files in /code are. Copied from a file name on macOS it is decomposed."""
    if name.isascii():
        return name
    return sources.import_standard("unicodedata").normalize("NFC", name)


def _imported(name: str, source, code: str):  # noqa: ANN001, ANN202 - a Source or None; a module
    _leave_main()
    dotted = name.replace("/", ".")
    try:
        return importlib.import_module(dotted) if source is None else source.load()
    except ModuleNotFoundError as missing:
        if missing.name is not None and (dotted == missing.name or dotted.startswith(missing.name + ".")):
            raise _missing(name, code) from None
        raise
    except SystemExit as ended:
        raise FunctionFailed("InitError", f"{name} exited while it was imported (status {ended.code!r})") from None


def _missing(name: str, code: str) -> FunctionFailed:
    there = sorted(os.listdir(code))
    modules = [entry[:-3] for entry in there if entry.endswith(".py")]
    hint = f"; name the one that is meant, such as {modules[0]}.handler" if modules else ""
    listed = ", ".join(there[:_LISTED]) or "nothing"
    return FunctionFailed("InitError", f"handler: there is no module {name!r}; the code has: {listed}{hint}")


def _no_handler(name: str, functions: list) -> FunctionFailed:
    there = ", ".join(functions[:_LISTED])
    return FunctionFailed(
        "InitError",
        f"handler: module {name!r} has no {_DEFAULT!r}; it defines: {there}; call it {_DEFAULT}, or upload with"
        f" handler={name}.{functions[-1]}",
    )


def _callable(module, name: str, attributes: tuple):  # noqa: ANN001, ANN202 - a module and what is in it
    for attribute in attributes:
        try:
            found = getattr(module, attribute)
        except AttributeError:
            continue
        if callable(found):
            return found
        hint = f"; call it something else to have {name} run as a program" if attribute == _DEFAULT else ""
        kind = type(found).__name__
        raise FunctionFailed("InitError", f"handler: {name}.{attribute} is not a function but {kind}{hint}")
    there = ", ".join(_functions_of(module)[:_LISTED]) or "no function"
    raise FunctionFailed("InitError", f"handler: module {name!r} has no {attributes[0]!r}; it defines: {there}")


def _functions_of(module) -> list:  # noqa: ANN001
    """Return the names of a module's own functions and classes, or if it has none, of the imported ones."""
    found = {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    own = [name for name, value in found.items() if getattr(value, "__module__", None) == module.__name__]
    return own or list(found)


def _leave_main() -> None:
    """Replace the runtime as `__main__` by an empty module, because spawned processes run the file of `__main__`."""
    ours, main = sys.modules["__main__"], type(sys)("__main__")
    main.__dict__["__nanogrid_runtime__"] = ours  # a module without a reference loses its globals
    sys.modules["__main__"] = main


def prepare(code: str, env: dict) -> None:
    """Make the process the function's: its environment and its folder."""
    os.environ.update(env)
    if "TZ" in env:
        import time  # noqa: PLC0415 - rarely needed

        time.tzset()
    os.chdir(code)
    sys.argv = [code]
