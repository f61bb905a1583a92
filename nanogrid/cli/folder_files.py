"""Lists the files of a folder as an upload holds them: ignored ones are left out, links are followed.

A zip has no links, and links between Node packages are more than a copy: a package finds its dependencies beside its
real place, and a program in `.bin` the files beside it. So programs become scripts that start the real ones, and the
packages of a store such as pnpm's are placed as npm places them, where `require` finds them.
"""

import os
import re
import shlex
from collections import deque
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from nanogrid.cli.exits import CliError, Exit

IGNORE_FILE = ".nanogridignore"

# What tools and secrets leave beside the source. `!.env` in the file takes one back.
_DEFAULTS = (
    *(".git", ".hg", ".svn", ".env", ".DS_Store", IGNORE_FILE, "__pycache__", ".venv"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache"),
)
_STORES = frozenset({".pnpm", ".store", ".bun"})  # of pnpm, of npm and Yarn, of Bun
_PACKAGE = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/.@][^/]*")
_PROGRAMS = ".bin"
_DEEPEST = 32  # packages within packages: two versions that need each other's have no end
_CURE = f"put the file itself there, or name the link in {IGNORE_FILE}"


class FolderFiles:
    """The files by their names in the zip: where each is, or its content. `left_out` has the names that were ignored.

    CliError names a link that cannot be followed.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, Path | bytes] = {}
        self.left_out: list[str] = []
        self._root = folder.resolve()
        self._ignored = _spec(self._root)
        self._packages: dict[str, Path] = {}  # by name in the zip: the real folder
        self._stored: deque[str] = deque()  # packages whose neighbours are still to be placed
        self._walk(self._root, "", (self._root,))
        while self._stored:
            self._place_neighbours(self._stored.popleft())

    def _walk(self, folder: Path, at: str, trail: tuple[Path, ...]) -> None:
        try:
            entries = sorted(folder.iterdir())
        except OSError as failure:
            raise CliError(f"{at or folder} cannot be read: {failure.strerror or failure}", Exit.USAGE) from None
        stores = [one for one in entries if one.name in _STORES and folder.name == "node_modules"]
        for entry in entries:
            if entry not in stores:
                self._add(entry, at + entry.name, trail)
        for store in stores:
            for name, package in self._packages_in(store / "node_modules"):
                if at + name not in self._packages:
                    self._add(package, at + name, trail)

    def _add(self, entry: Path, name: str, trail: tuple[Path, ...]) -> None:
        is_folder = entry.is_dir()
        if self._ignored.match_file(f"{name}/" if is_folder else name):
            self.left_out.append(name)
            return
        real = self._followed(entry, name) if entry.is_symlink() else entry
        if is_folder:
            self._add_folder(real, name, trail)
        elif entry.is_symlink() and entry.parent.name == _PROGRAMS:
            self.files[name] = _script(entry, real)
        elif entry.is_file():
            self.files[name] = real
        else:  # a socket, a device
            self.left_out.append(name)

    def _add_folder(self, real: Path, name: str, trail: tuple[Path, ...]) -> None:
        if real in trail:
            raise _refused(name, "leads back to the folder that it lies in")
        if _PACKAGE.fullmatch(name):
            self._packages[name] = real
            if self._store_of(real):
                self._stored.append(name)
        self._walk(real, f"{name}/", (*trail, real))

    def _followed(self, link: Path, name: str) -> Path:
        try:
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):
            raise _refused(name, f"leads to {link.readlink()}, which is not there") from None
        if not real.is_relative_to(self._root):
            raise _refused(name, f"leaves the folder, to {real}")
        return real

    def _place_neighbours(self, name: str) -> None:
        """Place what a stored package finds beside its real folder and would not find from its place in the zip."""
        if name.count("node_modules/") > _DEEPEST:
            raise CliError(f"{name}: its packages need each other without end; install them with npm", Exit.USAGE)
        for dependency, package in self._neighbours(self._packages[name]):
            real = self._followed(package, f"{name}: {dependency}") if package.is_symlink() else package
            if self._found_from(name, dependency) != real:
                self._add(package, f"{name}/node_modules/{dependency}", ())

    def _neighbours(self, real: Path) -> Iterator[tuple[str, Path]]:
        store = self._store_of(real)
        for folder in real.parents:
            if folder == store:
                return
            for name, package in self._packages_in(
                folder if folder.name == "node_modules" else folder / "node_modules"
            ):
                if package != real:
                    yield name, package

    def _store_of(self, real: Path) -> Path | None:
        return next((one for one in real.parents if one.name in _STORES and one.is_relative_to(self._root)), None)

    def _packages_in(self, folder: Path) -> Iterator[tuple[str, Path]]:
        if not folder.is_dir():
            return
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("@"):
                yield from ((f"{entry.name}/{one.name}", one) for one in sorted(entry.iterdir()))
            elif not entry.name.startswith(".") and entry.is_dir():
                yield entry.name, entry

    def _found_from(self, name: str, dependency: str) -> Path | None:
        """Return the package that `require` finds from a package, which looks in every folder above it."""
        for folder in (PurePosixPath(name), *PurePosixPath(name).parents):
            if folder.name != "node_modules" and (found := self._packages.get(f"{folder}/node_modules/{dependency}")):
                return found
        return self._packages.get(f"node_modules/{dependency}")


def _spec(root: Path) -> GitIgnoreSpec:
    file = root / IGNORE_FILE
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else []
        return GitIgnoreSpec.from_lines([*_DEFAULTS, *lines])
    except (OSError, ValueError) as failure:
        raise CliError(f"{file}: {failure}", Exit.USAGE) from None


def _script(link: Path, real: Path) -> bytes:
    """Return a script that starts the program a link in `.bin` leads to, as npm's own are where there are no links."""
    said = link.readlink()
    target = os.path.relpath(real, link.parent.resolve()) if said.is_absolute() else said.as_posix()
    return f'#!/bin/sh\nexec "$(dirname "$0")"/{shlex.quote(target)} "$@"\n'.encode()


def _refused(name: str, why: str) -> CliError:
    return CliError(f"{name} is a link that {why}; {_CURE}", Exit.USAGE)
