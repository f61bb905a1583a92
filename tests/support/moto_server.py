"""A real HTTP server that speaks AWS (S3, DynamoDB, SQS, Secrets Manager, CloudWatch …), of a test's own."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.redis_server import free_port

START_S = 30.0
REGION = "ap-northeast-2"


class MotoServer:
    """Keeps everything in memory: `kill` loses it all, `reset` does so on purpose."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What an AWS client needs to end up here, whatever the machine's own files and environment say."""
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
        """Start on the same port as before, and empty; return once it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with (self._folder / "moto.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.env)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "moto.log").read_text()
            assert time.monotonic() < deadline, "moto_server did not start"
            time.sleep(0.02)

    def reset(self) -> None:
        """Forget everything."""
        assert self._asked("POST", "/moto-api/reset") == 200

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Believe only credentials that were made with IAM here, for as long as the block lasts."""
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
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request(method, path, body)
            return link.getresponse().status
        finally:
            link.close()


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """A server of one's own; its log is in the folder."""
    server = MotoServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
