"""Prepares uploads: a file as it is, a folder as a zip, and a guess at the runtime."""

import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nanogrid.cli.exits import CliError, Exit
from nanogrid.runtimes import RUNTIMES, alias_of_suffix

# What tools leave beside the source, and nobody means to upload.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".hg", ".svn", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@contextmanager
def prepare(path: Path) -> Iterator[Path]:
    """Return the file to send: `path` itself, or for a folder a temporary zip of it.

    CliError when it cannot be uploaded.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        with tempfile.TemporaryDirectory(prefix="nanogrid-") as folder:
            bundle = Path(folder) / f"{path.resolve().name}.zip"
            _zip(path, bundle)
            yield bundle
    else:
        raise CliError(f"{path}: no such file or folder", Exit.USAGE)


def guess_runtime(file: Path) -> str:
    """Return the runtime a file or zip looks like, as an alias. CliError when it does not tell."""
    if runtime := alias_of_suffix(file.suffix):
        return runtime
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as bundle:
            names = bundle.namelist()
        if runtime := runtime_of(names):
            return runtime
    raise CliError(f"{file.name} does not tell its runtime; say it with --runtime", Exit.USAGE)


def runtime_of(names: Iterable[str]) -> str | None:
    """Return the runtime of a zip by the names in it: by its entry file, else by the only language at its root."""
    at_root = {name for name in (one.removeprefix("./") for one in names) if "/" not in name}
    for runtime in RUNTIMES.values():
        if any(f"{module}{suffix}" in at_root for module in runtime.modules for suffix in runtime.suffixes):
            return runtime.alias
    found = {alias for name in at_root if (alias := alias_of_suffix(Path(name).suffix))}
    return found.pop() if len(found) == 1 else None


def _zip(folder: Path, bundle: Path) -> None:
    files = [file for file in sorted(folder.rglob("*")) if not _LEFT_OUT.intersection(file.relative_to(folder).parts)]
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as target:
        for file in files:
            if file.is_symlink():
                raise CliError(f"{file} is a link; put the file itself there, links are not uploaded", Exit.USAGE)
            if file.is_file():
                target.write(file, file.relative_to(folder).as_posix())
        if not target.namelist():
            raise CliError(f"{folder} has no files to upload", Exit.USAGE)
