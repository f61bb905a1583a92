"""Prepares uploads: a file as it is, a folder as a zip, and a guess at the runtime."""

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.folder_files import IGNORE_FILE, FolderFiles
from nanogrid.runtimes import RUNTIMES, alias_of_suffix

_SHOWN = 10  # names of files that were left out
_PROGRAM = (0o100755) << 16  # the mode of a script that takes a link's place, where a zip has it

Tell = Callable[[str], None]


@contextmanager
def prepare(path: Path, tell: Tell = lambda _: None) -> Iterator[Path]:
    """Return the file to send: `path` itself, or for a folder a temporary zip of it.

    `tell` is called with a sentence about the files that were left out. CliError when it cannot be uploaded.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        with tempfile.TemporaryDirectory(prefix="nanogrid-") as folder:
            bundle = Path(folder) / f"{path.resolve().name}.zip"
            _zip(path, bundle, tell)
            yield bundle
    else:
        raise CliError(f"{path}: no such file or folder", Exit.USAGE)


def guess_runtime(file: Path) -> str:
    """Return the runtime a file or zip looks like, as an alias. CliError when it does not tell."""
    if runtime := alias_of_suffix(file.suffix.lower()):
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


def _zip(folder: Path, bundle: Path, tell: Tell) -> None:
    found = FolderFiles(folder)
    if found.left_out:
        more = f" and {len(found.left_out) - _SHOWN} more" if len(found.left_out) > _SHOWN else ""
        tell(f"left out: {', '.join(found.left_out[:_SHOWN])}{more} ({IGNORE_FILE} says what is)")
    if not found.files:
        raise CliError(f"{folder} has no files to upload", Exit.USAGE)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as target:
        for name, file in found.files.items():
            try:
                _write(target, name, file)
            except UnicodeEncodeError:
                shown = name.encode(errors="backslashreplace").decode()
                raise CliError(f"{shown} has a name that is not UTF-8; rename it", Exit.USAGE) from None
            except OSError as failure:
                raise CliError(f"{name} cannot be read: {failure.strerror or failure}", Exit.USAGE) from None


def _write(target: zipfile.ZipFile, name: str, file: Path | bytes) -> None:
    if isinstance(file, Path):
        target.write(file, name)
        return
    script = zipfile.ZipInfo(name)
    script.create_system, script.external_attr = 3, _PROGRAM  # 3 = Unix, whose modes count
    target.writestr(script, file)
