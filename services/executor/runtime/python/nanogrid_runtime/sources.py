"""Finds the source files of the function's modules, and imports them under any file name."""

from __future__ import annotations

import importlib
import itertools
import os
import site
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder

_LIBRARY = os.path.dirname(os.__file__)
_STANDARD = [entry for entry in sys.path if entry == _LIBRARY or entry.startswith(_LIBRARY + "/lib-dynload")]
_STANDARD += [entry for entry in sys.path if entry.endswith(".zip")]

# `multiprocessing` runs the main module's file under this name in a spawned process. So its classes and functions can
# be pickled, although no import finds them.
_MAIN = "__mp_main__"
_MOST_DOTS = 6  # that may be part of a file's name. Further ones separate folders

_IN_USE = frozenset(sys.modules)  # before any of the function's


class Source:
    """One file below the code's folder. `parts` are its folders and its name, without the suffix."""

    def __init__(self, code: str, parts: list, path: str) -> None:
        self.path = path
        self.name = ".".join(parts)
        self._code = code
        self._parts = parts
        self._is_package = os.path.basename(path) == "__init__.py"
        self._has_dots = any("." in part for part in parts)

    @property
    def folder(self) -> str:
        """Return its folder."""
        return os.path.dirname(self.path)

    @property
    def package(self) -> str:
        """Return the package of its relative imports, "" without one."""
        parents = self._parts if self._is_package else self._parts[:-1]
        return "" if any("." in part for part in parents) or is_taken(self.name) else ".".join(parents)

    @property
    def spec(self):  # noqa: ANN201 - ModuleSpec | None
        """Return its spec for `python -m`, by which a spawned process finds it, or None when its path suffices."""
        return ModuleSpec(self.name, None, origin=self.path) if self.package and not self._has_dots else None

    def read(self) -> bytes:
        """Return the source text."""
        with open(self.path, "rb") as file:
            return file.read()

    def load(self):  # noqa: ANN201 - a module
        """Import it, by its name unless another module has that name."""
        if self._has_dots:
            return self._run()
        if is_taken(self.name):
            if len(self._parts) == 1:
                return self._run()
            self._borrow_name()
        return importlib.import_module(self.name)

    def _borrow_name(self) -> None:
        """Add its folder to the path of the library's module of the same name, which stays unchanged."""
        library = importlib.import_module(self._parts[0])
        library.__path__ = [*getattr(library, "__path__", ()), os.path.join(self._code, self._parts[0])]

    def _run(self):  # noqa: ANN202
        module = type(sys)(_MAIN)
        module.__file__ = self.path
        module.__package__ = self.package
        if self._is_package:
            module.__path__, module.__package__ = [self.folder], _MAIN
        module.__dict__["__nanogrid_runtime__"] = sys.modules["__main__"]
        sys.modules[_MAIN] = sys.modules["__main__"] = module
        exec(compile(self.read(), self.path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the function
        return module


def find(module: str, code: str):  # noqa: ANN201 - a Source or None
    """Return the source file of a handler's module, or None. Dots stand for slashes, or for themselves."""
    for parts in _readings(module):
        stem = os.path.join(code, *parts)
        for path in (os.path.join(stem, "__init__.py"), stem + ".py"):
            if os.path.isfile(path):
                return Source(code, parts, path)
    return None


def _readings(module: str):  # noqa: ANN202 - an iterator of lists of parts
    """Yield every reading of a module's name as a path, the one with the most folders first."""
    pieces = module.replace("/", "\0/").replace(".", "\0.").split("\0")
    dots = [number for number, piece in enumerate(pieces) if piece.startswith(".")]
    for kept in itertools.product((False, True), repeat=min(len(dots), _MOST_DOTS)):
        literal = {number for number, keep in zip(reversed(dots), kept) if keep}  # noqa: B905 - shorter on purpose, 3.9
        parts = [pieces[0]]
        for number, piece in enumerate(pieces[1:], start=1):
            if number in literal:
                parts[-1] += piece
            else:
                parts.append(piece[1:])
        yield parts


def is_taken(name: str) -> bool:
    """Return whether a module's first part is the name of a module of the standard library or the runtime."""
    first = name.replace("/", ".").partition(".")[0]
    if first in _IN_USE or BuiltinImporter.find_spec(first) or FrozenImporter.find_spec(first):
        return True
    spec = PathFinder.find_spec(first, _STANDARD)
    return spec is not None and spec.loader is not None


def import_standard(name: str):  # noqa: ANN201 - a module
    """Import a module of the standard library, even if the function has one of that name."""
    path = list(sys.path)
    sys.path[:] = _STANDARD
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path


def extend_path(code: str, python_path: str, *, library_first: bool) -> None:
    """Put the code's folder first on the path, then PYTHONPATH, and run the `sitecustomize` of that.

    A handler that is called like a module of the standard library leaves the name to everybody else: the library is
    first then. Nothing of the function's may be found by our own imports, so this comes after them.
    """
    given = [entry for entry in python_path.split(os.pathsep) if entry]
    others = [entry for entry in sys.path if entry not in _STANDARD]
    sys.path[:] = [*_STANDARD, code, *given, *others] if library_first else [code, *given, *sys.path]
    if given and PathFinder.find_spec("sitecustomize", given) is not None:
        sys.modules.pop("sitecustomize", None)
        site.execsitecustomize()
