"""The port Cage: starts, kills and removes the surroundings of a runtime for the shared Resident."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.executor.sandbox.cgroup import Cgroup
from services.executor.sandbox.init_process import InitProcess

RUNTIMES_DIR = Path(__file__).resolve().parent.parent / "runtime"


class CageError(Exception):
    """The adapter could not start or remove a sandbox's cage."""


class CageOutageError(CageError):
    """The adapter's backend cannot be reached."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The paths and the environment inside a sandbox."""

    code: str = "/code"
    payload_file: str = "/run/nanogrid/payload.json"
    own_pids: bool = True  # it sees only its own processes
    ai_endpoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


class Cage(Protocol):
    """The surroundings of one sandbox. Methods raise CageError or OSError."""

    inside: Inside
    init: InitProcess
    volumes: bool  # /tmp and /output are volumes of limited size

    async def prepare(self) -> None:
        """Do the steps that do not need the volumes."""

    async def start(self) -> None:
        """Start PID 1 and the runtime."""

    def watch(self, pid: int) -> Cgroup:
        """Take hold of the processes, with the connected runtime `pid`, and return their group."""

    def kill(self) -> None:
        """Kill every process in it, now. Idempotent. Does nothing before `watch`."""

    async def remove(self) -> None:
        """Remove everything. Idempotent."""


_FIRST_UID, _UIDS = 1_900_000_000, 200_000_000  # above the ranges of distributions, containers and systemd


def new_uid() -> int:
    """Return a uid that is free on the machine."""
    return _FIRST_UID + secrets.randbelow(_UIDS)


def hand_over(path: Path | int, uid: int) -> None:
    """Make `uid` the owner of a file. Without root the executor's user is the owner already."""
    if os.geteuid() == 0:
        os.chown(path, uid, uid)
