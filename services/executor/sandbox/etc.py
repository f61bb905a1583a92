"""Writes a sandbox's own files of /etc: an account for its uid, and names for its loopback address."""

from pathlib import Path

HOST_NAME = "nanogrid"
USER = "nanogrid"
HOME = "/tmp"  # noqa: S108 - the sandbox's own

# The other accounts of a container, in which all files belong to root.
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"

# No ::1: containers have no IPv6, and a client that tries the first address only would fail.
_HOSTS = f"127.0.0.1\tlocalhost\n127.0.0.1\t{HOST_NAME}\n"


def container_files(uid: int) -> dict[str, str]:
    """Return the files of a container without a network, by name."""
    return accounts(uid, _USERS, _GROUPS) | {"hosts": _HOSTS}


def machine_files(uid: int, etc: Path = Path("/etc")) -> dict[str, str]:
    """Return the files of a sandbox on this machine's network, with the machine's users and its own."""
    users, groups = ((etc / name).read_text(errors="surrogateescape") for name in ("passwd", "group"))
    return accounts(uid, users, groups)


def accounts(uid: int, users: str, groups: str) -> dict[str, str]:
    """Return passwd and group with an entry for `uid`. An existing entry is kept."""
    return {
        "passwd": _with(users, uid, f"{USER}:x:{uid}:{uid}:{USER}:{HOME}:/bin/sh"),
        "group": _with(groups, uid, f"{USER}:x:{uid}:"),
    }


def _with(others: str, number: int, entry: str) -> str:
    taken = any(line.split(":")[2:3] == [str(number)] for line in others.splitlines())
    return others if taken else f"{others.rstrip()}\n{entry}\n"
