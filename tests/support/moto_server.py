"""Runs a moto server for a test: S3, DynamoDB, SQS, Secrets Manager, CloudWatch … over real HTTP."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.redis_server import free_port
from support.waiting import WATCHDOG_S, wait_until

REGION = "ap-northeast-2"
_TESTS = Path(__file__).parents[1]


class MotoServer:
    """A moto server, which holds everything in memory. `kill` and `reset` lose it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment that directs an AWS client here, independent of the machine's own settings."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(self._folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._folder / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it empty on the same port as before. Return once it answers."""
        command = [sys.executable, "-m", "support.moto_process", str(self.port)]
        with (self._folder / "moto.log").open("ab") as log:
            process = self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | self.env, cwd=_TESTS
            )
        wait_until(lambda: self._answers() or process.poll() is not None, "moto_server did not start")
        assert process.poll() is None, (self._folder / "moto.log").read_text()

    def reset(self) -> None:
        """Delete everything in it."""
        assert self._asked("POST", "/moto-api/reset") == 200

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Accept only credentials created with IAM here, inside the block."""
        assert self._asked("POST", "/moto-api/reset-auth", "0") == 200
        try:
            yield
        finally:
            assert self._asked("POST", "/moto-api/reset-auth", "inf") == 200

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return self._asked("GET", "/moto-api/data.json") == 200
        except OSError:
            return False

    def _asked(self, method: str, path: str, body: str = "") -> int:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WATCHDOG_S)
        try:
            link.request(method, path, body)
            return link.getresponse().status
        finally:
            link.close()


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """Run a server with its log in the folder."""
    server = MotoServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
