"""Checks that the configured backends can be used, before a local grid starts anything that needs them.

`python -m services.local.preflight` does it, and writes a JSON object per line: {"checks": […]} first, then
{"check", "fault", "bad_setting"} as each ends. It is a process of its own because it is killed when it takes too long:
threads of an SDK that wait for a server cannot be.
"""

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nanogrid import logs
from nanogrid.errors import BadSettingError, NanoGridError, NotFoundError, StartError
from nanogrid.queue import open_queue
from services.artifacts.blobs import open_blobs
from services.artifacts.settings import ArtifactsSettings
from services.executor.metrics import open_peaks
from services.executor.sandbox.ai_node import parse_ai_endpoint
from services.executor.settings import ExecutorSettings
from services.registry.settings import RegistrySettings
from services.registry.store import open_store

ANSWER_S = 4.0  # for all of them, which are asked at once
_BEGIN_S = 30.0  # for the process, which on a busy machine takes a while to load the SDKs

_EMBEDDED = ("file:", "sqlite:")  # whose folder is checked before
_OF_AWS = ("s3:", "sqs:", "http", "dynamodb:", "cloudwatch:")
_QUEUE = "NANOGRID_QUEUE_URL or SQS_QUEUE_URL"
_PROBED = "nanogrid/preflight"  # the key of an object that need not be there
_LOGGED = " (the cure is in the service's log)"
_CURE = (
    "check the name, AWS_REGION and the credentials (docs/aws.md lists the rights); deploy/aws/create.py creates what "
    "is missing"
)

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One backend: its name, its URL, the settings that choose it, and the step that raises when it cannot be used."""

    what: str
    url: str
    settings: str
    step: Step

    @property
    def title(self) -> str:
        """Return the words that name it to its operator."""
        return f"{self.what} {self.url} ({self.settings})"


def checks() -> list[Check]:
    """List the backends that were configured; the embedded ones need no check."""
    artifacts, registry, executor = ArtifactsSettings(), RegistrySettings(), ExecutorSettings()
    every = [
        Check("the queue", executor.queue_url or executor.sqs_queue_url, _QUEUE, lambda: _queue(executor)),
        Check("the function table", registry.store_url, "DYNAMODB_TABLE", lambda: _table(registry)),
        Check("the code bucket", artifacts.code_url, "S3_BUCKET", lambda: _bucket(artifacts.code_url)),
        Check("the user-data bucket", artifacts.data_url, "S3_USER_DATA_BUCKET", lambda: _bucket(artifacts.data_url)),
        Check("the AI node", executor.ai_endpoint, "AI_ENDPOINT", lambda: _ai_node(executor)),
        Check("metrics", executor.metrics_url, "NANOGRID_EXECUTOR_METRICS_URL", lambda: _metrics(executor)),
    ]
    return [check for check in every if check.url and not check.url.startswith(_EMBEDDED)]


async def require_backends(environment: Mapping[str, str]) -> None:
    """Check the backends of an environment. StartError or BadSettingError names the unusable ones, and a cure."""
    if not checks():
        return
    told = await _ask(environment)
    faults = [f"{title}: {one['fault']}" for title, one in told.items() if one["fault"]]
    if faults:
        bad = all(one["bad_setting"] for one in told.values() if one["fault"])
        raise (BadSettingError if bad else StartError)(f"{'; '.join(faults)}")


async def _ask(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Run the checks in a process, and answer for those that say nothing in time."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.local.preflight"), env=dict(environment), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told: dict[str, dict[str, Any]] = {}
    silent = {"fault": f"does not answer; {_CURE}", "bad_setting": False}
    try:
        async with asyncio.timeout(_BEGIN_S) as limit:
            async for line in process.stdout:
                said = json.loads(line)
                if "checks" in said:
                    told = dict.fromkeys(said["checks"], silent)
                    limit.reschedule(asyncio.get_running_loop().time() + ANSWER_S)
                else:
                    told[said["check"]] = said
    except BaseException as error:
        process.kill()
        if not isinstance(error, TimeoutError):
            raise
    finally:
        await process.wait()
    if not told:
        raise StartError("the backends could not be checked; the log has the reason")
    return told


async def _queue(settings: ExecutorSettings) -> None:
    async with open_queue(settings.task_queue_url, f"preflight-{os.getpid()}") as queue:
        await queue.depth()


async def _table(settings: RegistrySettings) -> None:
    async with open_store(settings.store_url) as store:
        await store.page_keys(1, "")
        with suppress(NotFoundError):
            await store.get_function(_PROBED)


async def _bucket(url: str) -> None:
    async with open_blobs(url) as store:
        with suppress(NotFoundError):  # a HEAD would not tell a missing bucket from a missing object
            await store.read(_PROBED)


async def _ai_node(settings: ExecutorSettings) -> None:
    parse_ai_endpoint(settings.ai_endpoint)  # jobs are told when it is down


async def _metrics(settings: ExecutorSettings) -> None:
    async with open_peaks(settings.metrics_url, settings.executor_metrics_flush_s):
        pass  # nothing waits for them, so only the URL can be wrong


async def _run(check: Check) -> None:
    fault, bad_setting = "", False
    try:
        await check.step()
    except NanoGridError as error:
        fault = f"{error.message.removesuffix('; try again').removesuffix(_LOGGED)}; {_CURE}"
    except ValueError as error:
        fault, bad_setting = str(error), True
    _say({"check": check.title, "fault": fault, "bad_setting": bad_setting})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - it is what this process is for


async def main() -> None:
    """Check everything at once."""
    logs.configure("preflight")  # to stderr
    wanted = checks()
    if any(check.url.startswith(_OF_AWS) for check in wanted):
        importlib.import_module("nanogrid.aws")
    _say({"checks": [check.title for check in wanted]})
    await asyncio.gather(*map(_run, wanted))


if __name__ == "__main__":
    asyncio.run(main())
