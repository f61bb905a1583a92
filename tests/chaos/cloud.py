"""Runs stand-ins for AWS: the adversarial SQS server, and moto behind a proxy that fails requests."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import httpx

from chaos.audit import Ending, ending
from chaos.journal import Journal
from chaos.member import Member
from support.redis_server import free_port
from support.sqs_server import client_env

ROOT = Path(__file__).parents[2]
QUEUE = "nanogrid-task-queue"
TOLD = ("NANOGRID_QUEUE_URL", "S3_BUCKET", "S3_USER_DATA_BUCKET", "DYNAMODB_TABLE")


class Cloud:
    """Stand-ins for AWS, which are never killed. `env` directs clients there, and is complete after `make`.

    `proxied` above 0 adds object storage and tables, and is the share of their requests that fail.
    """

    def __init__(
        self, folder: Path, journal: Journal, mischief: Mapping[str, float], *, proxied: float, seed: int
    ) -> None:
        self._folder = folder
        self._journal = journal
        sqs, moto, proxy = free_port(), free_port(), free_port()
        self.members = [self._member("sqs", "support.sqs_server", f"--port={sqs}", *_options(mischief))]
        self.addresses = [f"127.0.0.1:{sqs}"]
        self._direct = client_env(f"http://127.0.0.1:{sqs}", folder)
        self.env = {**self._direct, "NANOGRID_QUEUE_URL": f"sqs://{QUEUE}"}
        if proxied:
            fails = _options({"seed": seed, "errors": proxied, "cut": proxied / 10})
            self.members += [
                self._member("moto", "moto.server", "-H", "127.0.0.1", "-p", str(moto)),
                self._member("proxy", "support.fault_proxy", f"--port={proxy}", f"--upstream=127.0.0.1:{moto}", *fails),
            ]
            self.addresses += [f"127.0.0.1:{moto}", f"127.0.0.1:{proxy}"]
            self._direct |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto}"}
            self.env |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy}"}

    def _member(self, name: str, module: str, *arguments: str) -> Member:
        return Member(name, (sys.executable, "-m", module, *arguments), {}, self._folder, self._journal)

    def make(self) -> None:
        """Create queues, tables and buckets as deploy/ does, and add their names to `env`."""
        if "AWS_ENDPOINT_URL" not in self._direct:
            from deploy.aws import queues  # noqa: PLC0415 - not every run needs a cloud

            list(queues.ensure(self._client("sqs"), QUEUE))
            return
        command = (sys.executable, str(ROOT / "deploy/aws/create.py"), "--queue", QUEUE)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, **self._direct, "PYTHONPATH": path}
        said = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
        told = dict(line.split("=", 1) for line in said.splitlines())
        self.env |= {name: told[name] for name in TOLD if name in told}

    def kept(self, job_ids: set[str]) -> list[tuple[str, Ending]]:
        """Return the durable results of these jobs, read without the failing proxy."""
        bucket = self.env.get("S3_USER_DATA_BUCKET")
        if bucket is None:
            return []
        s3 = self._client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return [
            (job_id, ending(json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())))
            for key in keys
            if (job_id := Path(key).stem) in job_ids
        ]

    def misfortunes(self) -> int:
        """Return the number of requests that the stand-ins failed."""
        counters = [f"{self._direct['AWS_ENDPOINT_URL_SQS']}/counters"]
        if proxy := self.env.get("AWS_ENDPOINT_URL"):
            counters.append(f"{proxy}/fault-proxy")
        return sum(sum(httpx.get(one).json()["struck"].values()) for one in counters)

    def _client(self, service: Any) -> Any:
        endpoint = self._direct.get(f"AWS_ENDPOINT_URL_{service.upper()}") or self._direct["AWS_ENDPOINT_URL"]
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=self._direct["AWS_REGION"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


def _options(values: Mapping[str, float]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
