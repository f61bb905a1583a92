"""Many small files at once: durable, none over another, and cheap, for this is done for every job."""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nanogrid.errors import UnavailableError

_NEW = os.O_WRONLY | os.O_CLOEXEC
_TRIES = 20  # a folder may be pruned by a delete just before a file is placed in it
_UNABLE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)  # of a file system without nameless files


def write_new(temporary: Path, contents: Mapping[str, bytes]) -> set[str]:
    """Write files, by path, except where there is one already. The paths that were written.

    `temporary` is the prefix of the names of unfinished files, in a folder that is there and on the same file system.
    None is left. OSError as the file system has it.
    """
    begun: list[_Begun] = []
    try:
        for content in contents.values():
            begun.append(_Begun(temporary, len(begun)))
            begun[-1].write(content)
        for one in begun:
            # Once all are on their way to the disk, the first sync waits for the others too: half the cost of each.
            os.posix_fadvise(one.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for one in begun:
            os.fsync(one.descriptor)
        return {path for path, one in zip(contents, begun, strict=True) if one.place(path)}
    finally:
        for one in begun:
            one.end()


class _Begun:
    """A file that has no name yet: nothing to clean away after a crash, and the cheapest to make."""

    def __init__(self, temporary: Path, number: int) -> None:
        self._named = ""
        try:
            self.descriptor = os.open(temporary.parent, _NEW | os.O_TMPFILE, 0o600)
            self._path = f"/proc/self/fd/{self.descriptor}"  # see open(2)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            self._named = self._path = f"{temporary}-{number}"
            self.descriptor = os.open(self._path, _NEW | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, content: bytes) -> None:
        """Write it all. Only a disk that is nearly full takes less at once."""
        while content := content[os.write(self.descriptor, content) :]:
            pass

    def place(self, path: str) -> bool:
        """Tell whether it took the place: False where there is something. UnavailableError when it cannot be placed."""
        for _ in range(_TRIES):
            try:
                # With a descriptor, of no use here otherwise, Python makes the call that follows the link in /proc.
                os.link(self._path, path, src_dir_fd=self.descriptor, follow_symlinks=True)
            except FileNotFoundError:
                with suppress(FileNotFoundError):
                    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except FileExistsError:
                return False
            else:
                return True
        raise UnavailableError("the object store cannot place a file; try again")

    def end(self) -> None:
        os.close(self.descriptor)
        if self._named:
            Path(self._named).unlink()
