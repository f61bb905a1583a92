"""Creates the resources on AWS that a deployment creates."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from deploy.aws import tables
from support.waiting import WATCHDOG_S

SCRIPT = Path(__file__).parents[2] / "deploy/aws/create.py"


def created(env: Mapping[str, str]) -> dict[str, str]:
    """Run the deployment's script in this environment and return the environment it prints."""
    done = subprocess.run(
        [sys.executable, SCRIPT], env=os.environ | env, capture_output=True, text=True, timeout=WATCHDOG_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def made_tables() -> str:
    """Create the registry's tables on this process's AWS endpoint and return their URL."""
    client: Any = boto3.client("dynamodb")
    for table in (tables.FUNCTIONS, tables.KEYS):
        list(tables.ensure(client, table, table.name))
    return f"dynamodb://{tables.FUNCTIONS.name}?keys={tables.KEYS.name}"
