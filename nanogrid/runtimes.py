"""The table of runtimes: names, source files, handlers, images and resident programs. All other code reads it."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanogrid.errors import RuntimeNotSupportedError
from nanogrid.suggestions import nearest

# `module.function`, optionally in folders. A compiled program is named by its main file.
_HANDLER = re.compile(r"(?:[\w-]+/)*[\w-]+(?:\.[\w-]+)*\.[^\W\d]\w*")
_ANY_HANDLER = ".handler"
# A language and perhaps a version, in the spellings of images, package managers and people.
_SPELT = re.compile(r"([a-z+]+)(?:[\s_./:@-]*v?([0-9]+(?:\.[0-9]+)*))?(?:\.x)?")
_PROGRAM_FILE = re.compile(r"(?:[\w-]+/)*[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class Program:
    """The resident program of a language: an interpreter, its options and an entry below the folder of runtimes.

    `launcher` is the command that starts the interpreter, if any.
    """

    interpreter: str
    entry: str
    options: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()

    def command(self, runtimes: Path, interpreter: str | None = None) -> list[str]:
        """Return the command line for a folder of runtimes at `runtimes`."""
        return [*self.launcher, interpreter or self.interpreter, *self.options, str(runtimes / self.entry)]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that NanoGrid knows about a runtime, by its canonical name.

    `language` is the name that its resident program uses. `alias` means any version of it. `modules` are the modules of
    a zip that may have its default handler, best first. `executable` is its interpreter on a machine without images, ""
    if there is none. `version` is () if it has only one.
    """

    name: str
    language: str
    alias: str
    version: tuple[int, ...]
    image: str
    suffixes: tuple[str, ...]  # of the single source files it accepts
    program: Program
    modules: tuple[str, ...] = ("main",)
    executable: str = ""
    known_as: tuple[str, ...] = ()  # other names of its language, in lower case
    compiled: bool = False  # the code is built before it runs, and its handler is the program's main file

    def handler_of_file(self, filename: str) -> str:
        """Return the default handler of a single source file: `<file>.handler`, or the program's file."""
        path = PurePosixPath(filename)
        return path.name if self.compiled else f"{path.stem}.handler"

    def handler_of_archive(self, root_files: Iterable[str]) -> str:
        """Return the default handler of a zip with these files at its root, such as `main.handler`."""
        if self.compiled:
            return f"{self.modules[0]}{self.suffixes[0]}"
        stems = {PurePosixPath(name).stem for name in root_files}
        found = next((module for module in self.modules if module in stems), self.modules[-1])
        return f"{found}.handler"

    def handler_of_folder(self, root_files: Collection[str]) -> str:
        """Return the default handler of a folder with these files at its root, the same as for an upload of it.

        A single source file names the handler, because the upload of a single file becomes such a folder.
        """
        sources = [name for name in root_files if PurePosixPath(name).suffix in self.suffixes]
        if len(sources) == 1 and not self.compiled:
            return self.handler_of_file(sources[0])
        return self.handler_of_archive(sources)

    def source_of(self, handler: str) -> str:
        """Return the path that a single source file needs for its handler ("" = the default one).

        It never leads out of the folder, for any handler.
        """
        module = "" if self.compiled else handler.rpartition(".")[0]
        parts = [part for part in re.split(r"[./\\\0]", module) if part] or ["main"]
        return "/".join(parts) + self.suffixes[0]

    def handler_as_meant(self, handler: str) -> str:
        """Return a handler in this runtime's terms: main.cpp for `main.handler`, which clients send for any runtime."""
        if self.compiled and handler.endswith(_ANY_HANDLER):
            return handler.removesuffix(_ANY_HANDLER) + self.suffixes[0]
        return handler

    def fault_of_handler(self, handler: str) -> str | None:
        """Return the fault in a handler's spelling, with the cure, or None."""
        if self.compiled:
            if _PROGRAM_FILE.fullmatch(handler) and handler.endswith(self.suffixes):
                return None
            return f"{handler!r} is not a source file; write for example {self.handler_of_archive(())}"
        if _HANDLER.fullmatch(handler):
            return None
        return (
            f"{handler!r} is not module.function; write for example main.handler or folder/app.handler, "
            "of letters, digits, _ and -"
        )


def _python(version: str) -> Runtime:
    name = f"python{version}"
    return Runtime(
        name,
        "python",
        "python",
        tuple(map(int, version.split("."))),
        f"nanogrid/python:{version}-fat",
        (".py",),
        Program("python3", "python/main.py"),
        modules=("main", "lambda_function", "main"),  # AWS names the file `lambda_function` in its console
        executable=name,
        known_as=("py", "cpython", "pypy"),
    )


def _node(version: int) -> Runtime:
    return Runtime(
        f"nodejs{version}.x",
        "node",
        "nodejs",
        (version,),
        f"nanogrid/node:{version}-fat",
        (".js", ".mjs"),
        # By default V8 stops at a share of the memory it was started with. The sandbox's limit is the one that counts,
        # so V8's is the highest memory of a function. A smaller young generation leaves more of it to the function.
        # Node cannot flush the output of C code in its process, so C buffers none.
        Program(
            "node",
            "node/main.js",
            options=("--max-old-space-size=10240", "--max-semi-space-size=8"),
            launcher=("stdbuf", "--output=0"),
        ),
        modules=("main", "index"),
        executable="node",
        known_as=("node", "js", "javascript", "ts", "typescript", "deno", "bun"),
    )


def _compiled(language: str, *known_as: str) -> Runtime:
    # All compiled languages share one resident program. The entry is the folder with the language's builder.
    program = Program("/sbin/nanogrid-program", language)
    return Runtime(
        language,
        language,
        language,
        (),
        f"nanogrid/{language}:latest",
        (f".{language}",),
        program,
        known_as=known_as,
        compiled=True,
    )


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        *map(_python, ("3.9", "3.10", "3.11", "3.12", "3.13")),
        *map(_node, (18, 20, 22)),
        _compiled("cpp", "c++", "cxx", "cc", "c", "g++", "gcc", "clang"),
        _compiled("go", "golang"),
    )
}
_PREFERRED = "python3.11"  # preferred over newer ones, because most tests run on it

# An alias means the first runtime of its row that the grid offers: the preferred version, then the newest.
ALIASES: dict[str, tuple[str, ...]] = {
    alias: tuple(
        sorted(
            (one.name for one in RUNTIMES.values() if one.alias == alias and one.version),
            key=lambda name: (name == _PREFERRED, RUNTIMES[name].version),
            reverse=True,
        )
    )
    for alias in dict.fromkeys(one.alias for one in RUNTIMES.values() if one.version)
}

SOURCE_SUFFIXES = tuple(dict.fromkeys(suffix for one in RUNTIMES.values() for suffix in one.suffixes))


def alias_of_suffix(suffix: str) -> str | None:
    """Return the alias of the language that accepts source files with this suffix, or None."""
    return next((one.alias for one in RUNTIMES.values() if suffix in one.suffixes), None)


def is_handler(text: str) -> bool:
    """Return whether some runtime accepts this as a handler."""
    return _PROGRAM_FILE.fullmatch(text) is not None


def resolve(name: str, offered: frozenset[str], *, stand_ins: bool = False) -> Runtime:
    """Return the runtime for a user's name of it. RuntimeNotSupportedError lists the supported ones.

    `offered` are the canonical names that live executors announce. While none is up, every runtime of the table counts.
    With `stand_ins`, the nearest offered version of a language replaces one that is not offered.
    """
    offered = offered & RUNTIMES.keys() or frozenset(RUNTIMES)
    for candidate in ALIASES.get(name, (name,)):
        if candidate in offered:
            return RUNTIMES[candidate]
    wanted = RUNTIMES.get(name)
    if stand_ins and wanted is not None and (found := stand_in(wanted, offered)) is not None:
        return found
    raise RuntimeNotSupportedError(_why_not(name, wanted, offered), field="runtime")


def stand_in(wanted: Runtime, offered: Iterable[str]) -> Runtime | None:
    """Return the offered version that runs code written for another: the next newer one, else the newest older one."""
    others = [one for one in map(RUNTIMES.__getitem__, offered) if one.version and one.alias == wanted.alias]
    newer = [one for one in others if one.version >= wanted.version]
    if newer:
        return min(newer, key=lambda one: one.version)
    return max(others, key=lambda one: one.version, default=None)


def _why_not(name: str, wanted: Runtime | None, offered: frozenset[str]) -> str:
    able = ", ".join(one for one in RUNTIMES if one in offered)
    if wanted is None and name not in ALIASES:
        meant = f"; did you mean {close!r}?" if (close := _meant(name[:64])) else ""
        return f"runtime: {name[:64]!r} is not known; available: {able}{meant}"
    other = wanted and stand_in(wanted, offered)
    cure = f", or set NANOGRID_RUNTIME_STAND_INS=on to have {other.name} serve it" if other else ""
    return f"runtime: {name!r} is not offered here; available: {able}. Build it with `make images`{cure}"


def _meant(name: str) -> str | None:
    """Guess the runtime that an unknown name was meant to be: `py3.11`, `node:18`, `c++`, `pyhton3.11`."""
    found = _SPELT.fullmatch(name.strip().lower())
    rows = [one for one in RUNTIMES.values() if found and found[1] in (one.alias, *one.known_as)]
    if found is None or not rows:
        return nearest(name, (*ALIASES, *RUNTIMES))
    digits = (found[2] or "").replace(".", "")
    for one in rows:
        own = "".join(map(str, one.version))
        # `3.11.2` and `18.17.0` have a part more; `3.1` is another version than `3.11`.
        if own and (digits == own or f"{found[2]}.".startswith(f"{'.'.join(map(str, one.version))}.")):
            return one.name
    return rows[0].alias
