"""The Docker daemon as sandboxes need it: asked from threads, its failures told apart from its absence."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import docker
import docker.errors
import docker.utils
import requests

from services.executor.sandbox import SandboxSettings
from services.executor.sandbox.cage import CageError, CageOutageError

_T = TypeVar("_T")

_PARALLEL = 10  # calls of the daemon at a time: it slows down under more
_FAILURES = (docker.errors.DockerException, requests.RequestException)


class Daemon:
    """The Docker daemon, asked from a few threads. Its failures are CageError, its absence is CageOutageError."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._threads = ThreadPoolExecutor(_PARALLEL, "docker")
        self.api: Any = docker.APIClient(  # untyped below this line: the SDK's stubs do not know half of it
            **docker.utils.kwargs_from_env(), timeout=int(settings.start_timeout_s), max_pool_size=_PARALLEL
        )

    async def ask(self, question: Callable[[], _T]) -> _T:
        """Run one call of the SDK."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        except requests.ConnectionError as error:
            raise CageOutageError(f"the Docker daemon cannot be reached: {error}") from error
        except _FAILURES as error:
            raise CageError(f"docker: {error}") from error

    async def remove_container(self, name: str) -> None:
        """Remove a container by name or id, running or not. Idempotent."""
        try:
            await self.ask(partial(self.api.remove_container, name, force=True, v=True))
        except CageError as error:
            if not isinstance(error.__cause__, docker.errors.NotFound):
                raise

    def close(self) -> None:
        """Let go of it."""
        self._threads.shutdown(wait=True)
        self.api.close()
