"""Makes folders of limited size: a file system in a sparse file, so that a full /tmp is ENOSPC, not out of memory."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_INODE_BYTES = 128
_OVERHEAD = 1.03  # block and inode bitmaps, group descriptors, directories


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system with room for `size_mb` and `files`, in the file `image`, mounted at `mounted`."""

    image: Path
    mounted: Path
    size_mb: int
    files: int


class VolumeError(Exception):
    """The system refused to create or remove a volume."""


def make(volume: Volume, uid: int) -> None:
    """Create and mount a volume owned by `uid`. Blocks for some 20 ms. VolumeError leaves nothing mounted."""
    size = int((volume.size_mb << 20) * _OVERHEAD) + volume.files * _INODE_BYTES
    with volume.image.open("xb") as file:
        file.truncate(size)
    _run(
        "mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-I", str(_INODE_BYTES), "-N", str(volume.files),
        # No journal, because a volume is discarded after a crash, and no room to grow.
        "-O", "^has_journal,^resize_inode,^metadata_csum", "-E", f"lazy_itable_init=1,nodiscard,root_owner={uid}:{uid}",
        str(volume.image),
    )  # fmt: skip
    # discard returns the space of deleted files to the machine, noinit_itable leaves the file sparse.
    _run("mount", "-o", "loop,nosuid,nodev,noatime,discard,noinit_itable", str(volume.image), str(volume.mounted))
    try:
        (volume.mounted / "lost+found").rmdir()
    except OSError as error:
        unmount(volume.mounted)
        raise VolumeError(str(error)) from None


def unmount(point: Path) -> None:
    """Unmount everything at `point`, with its loop device. VolumeError when the system refuses."""
    while point in mounted_below(point):
        try:
            _run("umount", str(point))
        except VolumeError:
            _run("umount", "--lazy", str(point))


def mounted_below(folder: Path) -> list[Path]:
    """Return the mount points at or below `folder`, deepest first."""
    top = os.path.realpath(folder)
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point == top or point.startswith(top + "/"):
            points.append(Path(point))
    return sorted(points, reverse=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, env=_ENV)
    except FileNotFoundError:
        raise VolumeError(f"{command[0]} is not on the PATH; install e2fsprogs and mount") from None
    if done.returncode != 0:
        raise VolumeError(f"{command[0]}: {done.stderr.strip() or done.returncode}")


# mkfs and mount are in sbin, which may not be on a service's PATH.
_ENV = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
