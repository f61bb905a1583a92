"""The files of /etc that each sandbox has of its own: an account for its uid, and the names of its loopback."""

from pathlib import Path

HOST_NAME = "nanogrid"
USER = "nanogrid"
HOME = "/tmp"  # noqa: S108 - the sandbox's own

# A container's other accounts; all files of its root file system are root's.
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"

# No ::1: containers have no IPv6, and a client that tries the first address only would fail.
_HOSTS = f"127.0.0.1\tlocalhost\n127.0.0.1\t{HOST_NAME}\n"


def container_files(uid: int) -> dict[str, str]:
    """Return the files of a container without a network, by name."""
    return accounts(uid, _USERS, _GROUPS) | {"hosts": _HOSTS}


def machine_files(uid: int, etc: Path = Path("/etc")) -> dict[str, str]:
    """Return the files of a sandbox that shares this machine's network, and sees its users beside its own."""
    users, groups = ((etc / name).read_text(errors="surrogateescape") for name in ("passwd", "group"))
    return accounts(uid, users, groups)


def accounts(uid: int, users: str, groups: str) -> dict[str, str]:
    """Return passwd and group with an entry for `uid`. One that is there already is kept."""
    return {
        "passwd": _with(users, uid, f"{USER}:x:{uid}:{uid}:{USER}:{HOME}:/bin/sh"),
        "group": _with(groups, uid, f"{USER}:x:{uid}:"),
    }


def _with(others: str, number: int, entry: str) -> str:
    taken = any(line.split(":")[2:3] == [str(number)] for line in others.splitlines())
    return others if taken else f"{others.rstrip()}\n{entry}\n"
