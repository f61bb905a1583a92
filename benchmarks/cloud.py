"""AWS on this machine: servers that speak its protocols, each a process, behind a pass-through that counts."""

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.passthrough import PassThrough
from benchmarks.peers import pypi
from benchmarks.processes import PeerMissingError, running, wait_until

_ROOT = Path(__file__).parent.parent
_START_S = 60.0
_REGION = "ap-northeast-2"


class Cloud:
    """S3, DynamoDB and SQS. `environment` is what chooses and finds them."""

    def __init__(self, through: PassThrough, environment: dict[str, str], sqs_port: int) -> None:
        self.through = through
        self.environment = environment
        self._sqs_port = sqs_port

    def wait_until_done(self) -> None:
        """Wait until every message that was sent is deleted, which is the last that is done for a job."""
        wait_until(self._is_done, "every message sent is deleted")

    def _is_done(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._sqs_port}/counters", timeout=10) as answer:
            entries = json.load(answer)["entries"]
        sent, deleted = (
            sum(entries.get(f"{action}{batch}", 0) for batch in ("", "Batch"))
            for action in ("SendMessage", "DeleteMessage")
        )
        return bool(sent == deleted)


@contextmanager
def serving(folder: Path) -> Iterator[Cloud]:
    """Start them and create what a grid needs there. PeerMissingError without moto."""
    if importlib.util.find_spec("moto") is None:
        raise PeerMissingError("moto is not installed; it comes with the development dependencies")
    sqs, other = pypi.free_port(), pypi.free_port()
    ours = [sys.executable, "-m", "support.sqs_server", f"--port={sqs}"]
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(other)]
    with (
        running(ours, folder / "sqs.log", PYTHONPATH=str(_ROOT / "tests")),
        running(moto, folder / "moto.log"),
        PassThrough({"sqs": sqs}, other) as through,
    ):
        for port in (sqs, other):
            pypi.wait_for_port(port, _START_S)
        environment = _environment(through.url, folder)
        yield Cloud(through, environment | _created(environment), sqs)


def _environment(url: str, folder: Path) -> dict[str, str]:
    """Whatever the machine's own files and environment say."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _created(environment: dict[str, str]) -> dict[str, str]:
    """What the deployment's script says after it has run."""
    script = [sys.executable, str(_ROOT / "deploy" / "aws" / "create.py")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(script, env=kept | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script[1]} failed: {done.stderr[-1000:]}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
