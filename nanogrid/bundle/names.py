"""Names of entries: which are refused, and which two cannot stand in one folder on every file system."""

import re
import unicodedata
from dataclasses import dataclass

from nanogrid.bundle.model import BundleLimits, rejected, shown
from nanogrid.errors import TooLargeError

_RELATIVE = "zip from inside the folder: `cd folder && zip -r ../code.zip .`"
_RENAME = "rename it and zip again"
_UTF8 = "zip again with UTF-8 names, for example with `zip -r` on Linux or macOS, or 7-Zip with `-mcu=on`"
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

ROOT = "."  # the folder that a bundle becomes
_ROOT = b"./"  # as packers name it that were told to pack `.`, and begin the name of everything in it


@dataclass(slots=True)
class _Node:
    """One path so far: `number` stands for it as a parent. `listed` says that an entry of its own names it."""

    number: int
    spelling: str
    is_folder: bool
    listed: bool


class Names:
    """The tree of all names so far. Memory is bounded by `limits.entries`, however deep the names pretend to go."""

    def __init__(self, limits: BundleLimits) -> None:
        self._limits = limits
        self._nodes: dict[tuple[int, str], _Node] = {}
        self._has_root = False

    def add(self, raw: bytes) -> str:
        """Check a name as the zip has it, a folder's with its trailing slash.

        Return it as text without that and without a leading `./`. The root itself, `./`, is ".".
        """
        if raw == _ROOT:
            if self._has_root:
                raise rejected(raw, "is in the archive twice")
            self._has_root = True
            return ROOT
        name, is_folder = self._checked(raw.removeprefix(_ROOT))
        parts = name.split("/")
        parent = 0
        for part in parts[:-1]:
            parent = self._step(name, parent, part, is_folder=True).number
        node = self._step(name, parent, parts[-1], is_folder=is_folder)
        if node.listed:
            raise rejected(name, "is in the archive twice")
        node.listed = True
        return name

    def _checked(self, raw: bytes) -> tuple[str, bool]:
        if len(raw) > self._limits.path_bytes:
            raise rejected(
                raw, f"has a name of {len(raw)} bytes; the limit is {self._limits.path_bytes} bytes", _RENAME
            )
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise rejected(raw, "has a name that is not UTF-8", _UTF8) from None
        if name.startswith("/") or _DRIVE.match(name):
            raise rejected(name, "has an absolute path", _RELATIVE)
        if "\\" in name:
            raise rejected(name, "has a backslash in its name", "zip with `/` between folders, as the zip format says")
        if _CONTROL.search(name):
            raise rejected(name, "has a control character in its name", _RENAME)
        is_folder = name.endswith("/")
        name = name.removesuffix("/")
        self._check_parts(name)
        return name, is_folder

    def _check_parts(self, name: str) -> None:
        parts = name.split("/")
        if len(parts) > self._limits.depth:
            raise rejected(name, f"lies {len(parts)} folders deep; the limit is {self._limits.depth} folders", _RENAME)
        for part in parts:
            if part in ("", ".", ".."):
                raise rejected(name, f"has {part!r} as a part of its path", _RELATIVE)
            if len(part.encode()) > self._limits.part_bytes:
                size = len(part.encode())
                why = f"has a name of {size} bytes between slashes; the limit is {self._limits.part_bytes} bytes"
                raise rejected(name, why, _RENAME)

    def _step(self, name: str, parent: int, part: str, *, is_folder: bool) -> _Node:
        key = (parent, _folded(part))
        node = self._nodes.get(key)
        if node is None:
            return self._grow(key, part, is_folder=is_folder)
        if node.spelling != part:
            why = f"differs from {shown(node.spelling)} only in case or in the way its letters are composed"
            raise rejected(name, why, _RENAME)
        if node.is_folder != is_folder:
            raise rejected(name, "would need a file and a folder of the same name", _RENAME)
        return node

    def _grow(self, key: tuple[int, str], part: str, *, is_folder: bool) -> _Node:
        count = len(self._nodes) + 1
        if count > self._limits.entries:
            raise TooLargeError(
                "number of files and folders in the archive", limit=self._limits.entries, unit="entries"
            )
        self._nodes[key] = node = _Node(count, part, is_folder, listed=False)
        return node


def _folded(part: str) -> str:
    """Equal for names that some file system takes for one (Unicode 3.13, D145: canonical caseless match)."""
    folded = unicodedata.normalize("NFD", part).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", folded))
