"""Manages a sandbox's folder on the host: its code, its two volumes, and its sockets and FIFOs."""

import contextlib
import errno
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.executor.sandbox import SandboxSettings
from services.executor.sandbox.cage import hand_over
from services.executor.sandbox.volume import Volume, VolumeError, make, mounted_below, unmount

_TMP_FILES = 65_536
# Room for more files than a job may leave, because collecting them reports the limit, not the file system.
_OUTPUT_FILES_FACTOR = 4


@dataclass(frozen=True, slots=True)
class SandboxFolder:
    """The folder `{root}/sandboxes/{sandbox_id}`. Methods block: call them in a thread."""

    path: Path
    uid: int

    @property
    def code(self) -> Path:
        """Return the folder for /code."""
        return self.path / "code"

    @property
    def io(self) -> Path:
        """Return the folder for /run/nanogrid: control.sock, the FIFOs, payload.json."""
        return self.path / "io"

    @property
    def etc(self) -> Path:
        """Return the folder of the files for /etc."""
        return self.path / "etc"

    @property
    def tmp(self) -> Path:
        """Return the folder for /tmp."""
        return self.path / "tmp"

    @property
    def output(self) -> Path:
        """Return the folder for /output."""
        return self.path / "output"

    def make(self) -> None:
        """Create the folders, private to the executor and the sandbox."""
        self.path.mkdir(parents=True, mode=0o700)
        for folder, mode in ((self.code, 0o755), (self.io, 0o750), (self.tmp, 0o700), (self.output, 0o700)):
            folder.mkdir()
            folder.chmod(mode)  # independent of the umask
        for folder in (self.tmp, self.output):
            hand_over(folder, self.uid)
        if os.geteuid() == 0:
            os.chown(self.io, 0, self.uid)  # the sandbox may read it by its group, not write

    def write_etc(self, files: Mapping[str, str]) -> None:
        """Write the sandbox's own files of /etc, readable for every user in it."""
        self.etc.mkdir()
        for name, text in files.items():
            (self.etc / name).write_text(text, errors="surrogateescape")
            (self.etc / name).chmod(0o644)  # independent of the umask

    def make_volumes(self, settings: SandboxSettings) -> None:
        """Create the volumes of /tmp and /output. Needs root. VolumeError when the system refuses."""
        files = settings.output_files * _OUTPUT_FILES_FACTOR
        make(Volume(self.path / "tmp.img", self.tmp, settings.tmp_mb, _TMP_FILES), self.uid)
        make(Volume(self.path / "output.img", self.output, settings.output_mb, files), self.uid)

    def place_code(self, source: Path, program: Path | None) -> None:
        """Put the tree `source` at /code by hard links, without copying. Symbolic links are left out.

        Names are composed (NFC), as they are typed, because macOS stores Korean or é decomposed. The program built from
        the code, if any, becomes /run/nanogrid/program.
        """
        _link_tree(source, self.code)
        if program is not None:
            program.chmod(0o755)
            _link_file(program, self.io / "program")

    def open_payload(self) -> int:
        """Create payload.json and return a descriptor to write it for each call."""
        descriptor = os.open(self.io / "payload.json", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o400)
        hand_over(descriptor, self.uid)
        return descriptor

    def clear_output(self) -> None:
        """Empty /output without following links. OSError when something cannot be deleted."""
        _empty(self.output)

    def remove(self) -> None:
        """Unmount and delete everything. Idempotent. OSError or VolumeError when something cannot be removed."""
        for point in mounted_below(self.path):
            unmount(point)
        for image in ("tmp.img", "output.img"):
            (self.path / image).unlink(missing_ok=True)
        if self.path.exists():
            _empty(self.path)
            self.path.rmdir()


def remove_leftovers(root: Path) -> list[str]:
    """Remove every sandbox folder below `root`, and return their ids."""
    try:
        folders = sorted((root / "sandboxes").iterdir())
    except FileNotFoundError:
        return []
    for folder in folders:
        SandboxFolder(folder, 0).remove()
    return [folder.name for folder in folders]


def write_payload(descriptor: int, payload: bytes) -> None:
    """Replace the content of payload.json in place, because truncating it first would allocate new blocks each time."""
    view, offset = memoryview(payload), 0
    while offset < len(payload):
        offset += os.pwrite(descriptor, view[offset:], offset)
    os.ftruncate(descriptor, len(payload))


def _link_tree(source: Path, target: Path) -> None:
    with os.scandir(source) as scan:
        entries = {entry.name: entry for entry in scan}
    for name, entry in entries.items():
        composed = unicodedata.normalize("NFC", name)
        there = target / (name if composed in entries else composed)
        if entry.is_dir(follow_symlinks=False):
            there.mkdir()
            there.chmod(0o755)
            _link_tree(Path(entry.path), there)
        elif entry.is_file(follow_symlinks=False):
            _link_file(entry, there)


def _link_file(entry: Path | os.DirEntry[str], there: Path) -> None:
    mode = entry.stat(follow_symlinks=False).st_mode
    readable = mode | 0o444 | (0o111 if mode & 0o100 else 0)
    try:
        if readable != mode:
            Path(entry).chmod(readable & 0o777)  # the sandbox's uid must read it, and links share the mode
        os.link(entry, there, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        shutil.copyfile(entry, there, follow_symlinks=False)
        there.chmod(readable & 0o777)


def _empty(folder: Path) -> None:
    """Delete the content of `folder`, with rmtree, and with find for folders nested too deep for it."""
    with contextlib.suppress(OSError, RecursionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - DirEntry has a string
    if any(folder.iterdir()):
        subprocess.run(
            ["find", str(folder), "-xdev", "-mindepth", "1", "-delete"], capture_output=True, check=True, text=True
        )


__all__ = ["SandboxFolder", "VolumeError", "remove_leftovers", "write_payload"]
