"""Runs an adversarial SQS server for a test: it duplicates, reorders, forgets deletes and refuses, as SQS may.

Run it with `python -m support.sqs_server --port 9324 --seed 7 --duplicates 0.05`. In a test `sqs_server` runs it as a
process, `sqs_here` in the running event loop.
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import typer
import uvloop

from nanogrid import aws
from support.redis_server import free_port
from support.sqs.actions import REGION, Cloud
from support.sqs.http import Connection
from support.sqs.mischief import Mischief
from support.waiting import WATCHDOG_S, wait_until

CHANCES = {field.name for field in fields(Mischief) if field.type is float}


def client_env(url: str, folder: Path) -> dict[str, str]:
    """Return the environment that directs an AWS client's queues here, independent of the machine's own settings."""
    return {
        "AWS_ENDPOINT_URL_SQS": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def create_queues(name: str, *, receives: int = 10) -> str:
    """Create a queue with the dead-letter queue `{name}-dlq` on the endpoint of the environment, and return its URL."""
    client = _client(os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ["AWS_ENDPOINT_URL"])
    dead_url = client.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    dead = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": str(receives)})
    url: str = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    return url


@cache
def _client(_endpoint: str) -> Any:
    return aws.client("sqs", connections=1)  # cached, because making one takes a tenth of a second


class SqsHere:
    """A server in this event loop, with its `cloud` readable. `stop` is an outage that messages survive."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: asyncio.Server | None = None
        self._alive: set[Connection] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self.cloud, self._alive), "127.0.0.1", self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._alive):
            connection.close()
        await self._server.wait_closed()


@asynccontextmanager
async def sqs_here(
    *, hold_s: float = 43200, most_in_flight: int = 120_000, port: int = 0, **mischief: Any
) -> AsyncIterator[SqsHere]:
    """Run a server in this event loop. `mischief` sets the fields of `Mischief`."""
    server = SqsHere(Cloud(Mischief(**mischief), hold_s, most_in_flight))
    if port:
        server.port, server.url = port, f"http://127.0.0.1:{port}"
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class SqsServer:
    """A server in a separate process. `kill` and `reset` lose its messages."""

    def __init__(self, folder: Path, options: dict[str, float]) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Return `client_env` for this server."""
        return client_env(self.url, self._folder)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it empty on the same port as before. Return once it answers."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._options.items()]
        command = [sys.executable, "-m", "support.sqs_server", f"--port={self.port}", *options]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        with (self._folder / "sqs.log").open("ab") as log:
            process = self._process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        wait_until(lambda: self._answers() or process.poll() is not None, "sqs_server did not start")
        assert process.poll() is None, (self._folder / "sqs.log").read_text()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reset(self) -> None:
        """Delete all queues and counts, and restore the initial chances of faults."""
        self._ask("POST", "/reset")
        self.suffer(
            **dict.fromkeys(CHANCES, 0.0) | {name: self._options[name] for name in CHANCES & self._options.keys()}
        )

    def calls(self) -> dict[str, int]:
        """Return the number of API calls so far, by action."""
        return dict(self._ask("GET", "/counters")["calls"])

    def counters(self) -> dict[str, dict[str, int]]:
        """Return counts of `calls` and `entries` (their messages) by action, and `struck` by fault."""
        return dict(self._ask("GET", "/counters"))

    def suffer(self, **chances: float) -> None:
        """Set the chances of faults from now on."""
        self._ask("POST", "/mischief", chances)

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/counters")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WATCHDOG_S)
        try:
            link.request(method, path, json.dumps(body))
            answer = link.getresponse()
            assert answer.status == 200, answer.status
            return json.loads(answer.read())
        finally:
            link.close()


@contextmanager
def sqs_server(folder: Path, **options: float) -> Iterator[SqsServer]:
    """Run a server with its log in the folder. `options` are `hold_s`, `seed` and the fields of `Mischief`."""
    server = SqsServer(folder, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _main(context: typer.Context, port: int = 9324, hold_s: float = 43200, seed: int = 0) -> None:
    """Serve until killed. Fields of Mischief are options: --duplicates 0.05 --lost-deletes 0.01 …"""
    mischief = Mischief(seed)
    arguments = [part for text in context.args for part in text.split("=", 1)]
    for option, chance in zip(arguments[::2], arguments[1::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        if name not in CHANCES:
            raise typer.BadParameter(f"{option}: not one of {sorted(CHANCES)}")
        setattr(mischief, name, float(chance))
    uvloop.run(_serve(Cloud(mischief, hold_s), port))


async def _serve(cloud: Cloud, port: int) -> None:
    server = SqsHere(cloud)
    server.port = port
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_main)
    app()
