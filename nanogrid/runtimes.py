"""The one table of runtimes: the names users may write, and the image and the in-sandbox program behind each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from nanogrid.errors import RuntimeNotSupportedError


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime by its canonical name.

    `language` chooses the resident program inside the sandbox and the way handlers are written; `image` is the
    Docker image; `suffixes` are the single source files it takes.
    """

    name: str
    language: str
    image: str
    suffixes: tuple[str, ...]
    compiled: bool = False  # whether the code is built before it runs, and its handler is the program's main file


def _python(version: str) -> Runtime:
    return Runtime(f"python{version}", "python", f"nanogrid/python:{version}-fat", (".py",))


def _node(version: int) -> Runtime:
    return Runtime(f"nodejs{version}.x", "node", f"nanogrid/node:{version}-fat", (".js", ".mjs"))


def _compiled(language: str) -> Runtime:
    return Runtime(language, language, f"nanogrid/{language}:latest", (f".{language}",), compiled=True)


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        *map(_python, ("3.9", "3.10", "3.11", "3.12", "3.13")),
        *map(_node, (18, 20, 22)),
        *map(_compiled, ("cpp", "go")),
    )
}

# An alias means the first of its row that the grid offers.
ALIASES: dict[str, tuple[str, ...]] = {
    "python": ("python3.11", "python3.13", "python3.12", "python3.10", "python3.9"),
    "nodejs": ("nodejs22.x", "nodejs20.x", "nodejs18.x"),
}


def archive_handler(runtime: Runtime, root_files: Iterable[str]) -> str:
    """The handler of an archive or folder that nobody named one for. Pure.

    `main.handler`, or `index.handler` for Node without a main. Compiled runtimes have no handler but a program: it is
    named by its main file.
    """
    if runtime.compiled:
        return f"main{runtime.suffixes[0]}"
    has_main = any(PurePosixPath(name).stem == "main" for name in root_files)
    return "index.handler" if runtime.language == "node" and not has_main else "main.handler"


def resolve(name: str, offered: frozenset[str]) -> Runtime:
    """The runtime a user meant. RuntimeNotSupportedError lists the ones that would do.

    `offered` are the canonical names the live executors announce; while none is up, every runtime of the table counts.
    """
    offered = offered or frozenset(RUNTIMES)
    for candidate in ALIASES.get(name, (name,)):
        if candidate in offered and candidate in RUNTIMES:
            return RUNTIMES[candidate]
    able = ", ".join(sorted(offered))
    raise RuntimeNotSupportedError(f"runtime: {name!r} is not offered here; available: {able}", field="runtime")
