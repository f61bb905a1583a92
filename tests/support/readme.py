"""Reads the README and the documents: their text, the commands in their consoles, their code in lines."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    "deploy/ai-node/README.md",
)

_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def consoles(page: str) -> list[list[tuple[str, str]]]:
    """Return the consoles of a page: of each its commands, with what they print."""
    return [list(_steps(block)) for block in _CONSOLE.findall(text_of(page))]


def commands(page: str) -> list[str]:
    """Return all commands in a page's consoles."""
    return [command for console in consoles(page) for command, _ in console]


def inline_code(page: str) -> list[str]:
    """Return the code within the page's sentences."""
    return re.findall(r"`([^`\n]+)`", _CONSOLE.sub("", text_of(page)))


def _steps(block: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^ *\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        if here := re.search(r"<<'(\w+)'", command):
            inside, _, printed = printed.partition(f"\n{here[1]}\n")
            command += f"\n{inside}\n{here[1]}\n"
        while re.sub(r" +# .*", "", command).count("'") % 2:
            line, _, printed = printed.partition("\n")
            command += f"\n{line}"
        yield command, printed
