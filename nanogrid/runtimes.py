"""The one table of runtimes: the names users may write, and the image and the in-sandbox program behind each."""

from dataclasses import dataclass

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


def _python(version: str) -> Runtime:
    return Runtime(f"python{version}", "python", f"nanogrid/python:{version}-fat", (".py",))


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (_python("3.9"), _python("3.10"), _python("3.11"), _python("3.12"), _python("3.13"))
}

# An alias means the first of its row that the grid offers.
ALIASES: dict[str, tuple[str, ...]] = {
    "python": ("python3.11", "python3.13", "python3.12", "python3.10", "python3.9"),
}


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
