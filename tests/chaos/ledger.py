"""The ledger: a file outside NanoGrid in which only functions record their runs."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The function. One `write` of a short line to a file opened with O_APPEND is atomic among writers.
# The owner is the executor of the sandbox: /code is mounted from a folder of that executor.
SOURCE = """
import os
import re
import secrets
import time


def _owner():
    with open("/proc/self/mountinfo") as mounts:
        places = [line.split(" ")[3] for line in mounts if line.split(" ")[4] == "/code"]
    found = re.search(r"/executors/([^/]+)/", " ".join([*places, os.environ.get("NANOGRID_IO", "")]))
    return found[1] if found else "-"


OWNER = _owner()


def handler(event, context):
    nonce = secrets.token_hex(8)
    _note(event["ticket"], nonce, "start")
    time.sleep(event["sleep_s"])
    if event.get("file"):
        with open("/output/nonce.txt", "w") as file:
            file.write(nonce)
    _note(event["ticket"], nonce, "end")
    return {"ticket": event["ticket"], "nonce": nonce}


def _note(ticket, nonce, what):
    line = f"{os.environ['JOB_ID']} {ticket} {nonce} {OWNER} {time.time():.6f} {what}\\n"
    file = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)
"""

_LINE = re.compile(r"(?P<job>\S+) (?P<ticket>\S+) (?P<nonce>\S+) (?P<owner>\S+) (?P<at>\S+) (?P<what>start|end)")


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of one job. `ended` is None when its process did not record its end."""

    job_id: str
    ticket: str
    nonce: str
    owner: str
    started: float
    ended: float | None


class Ledger:
    """The ledger of one function."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self.path.touch()
        self.path.chmod(0o666)  # every sandbox has a different uid

    def executions(self) -> list[Execution]:
        """Return the runs in the order of their start."""
        found: dict[str, Execution] = {}
        for line in self.path.read_text().splitlines():
            said = _LINE.fullmatch(line)
            assert said, f"{self.path} has a line that no function of ours wrote: {line!r}"
            job_id, ticket, nonce, owner, at, what = said.groups()
            began = found.get(nonce)
            ended = float(at) if what == "end" else None
            found[nonce] = Execution(job_id, ticket, nonce, owner, began.started if began else float(at), ended)
        return sorted(found.values(), key=lambda one: one.started)

    def running(self, owner: str) -> int:
        """Return the number of unfinished runs of this owner."""
        return sum(1 for one in self.executions() if one.owner == owner and one.ended is None)


def ledger_folder() -> Path:
    """Create a folder in /var/tmp, which functions see too. Their /tmp is private."""
    folder = Path(tempfile.mkdtemp(prefix="nanogrid-chaos-", dir="/var/tmp"))
    os.chmod(folder, 0o755)  # noqa: PTH101 - mkdtemp made it private
    return folder
