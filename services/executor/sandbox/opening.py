"""Starts a generic sandbox, or leaves nothing behind."""

import asyncio

from nanogrid.runtimes import Runtime
from services.executor.sandbox import SandboxOutageError, SandboxSettings, SandboxStartError
from services.executor.sandbox.cage import Cage, CageError, CageOutageError
from services.executor.sandbox.folder import SandboxFolder, VolumeError
from services.executor.sandbox.frames import ProtocolError
from services.executor.sandbox.link import Gone, TooLarge
from services.executor.sandbox.resident import Resident

_FAILURES = (OSError, TimeoutError, CageError, VolumeError, Gone, TooLarge, ProtocolError)


async def open_resident(runtime: Runtime, folder: SandboxFolder, cage: Cage, settings: SandboxSettings) -> Resident:
    """Start a generic sandbox. SandboxStartError and cancellation leave nothing behind."""
    sandbox: Resident | None = None
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            folder.make()  # a few mkdirs, not in a thread, which could not be cancelled
            sandbox = Resident(runtime, folder, cage, settings)
            await _prepare(folder, cage, settings)
            await cage.start()
            await sandbox.greet()
    except CageOutageError as error:
        await _abandon(sandbox, folder)
        raise SandboxOutageError(str(error)) from error
    except _FAILURES as error:
        await _abandon(sandbox, folder)
        raise SandboxStartError(f"no sandbox for {runtime.name}: {error or type(error).__name__}") from error
    except BaseException:
        await _abandon(sandbox, folder)
        raise
    return sandbox


async def _prepare(folder: SandboxFolder, cage: Cage, settings: SandboxSettings) -> None:
    """Make the volumes while the cage is prepared. Threads cannot be cancelled, so both are always waited for."""
    jobs = [asyncio.ensure_future(cage.prepare())]
    if cage.volumes:
        jobs.append(asyncio.ensure_future(asyncio.to_thread(folder.make_volumes, settings)))
    try:
        await asyncio.shield(asyncio.wait(jobs))
    except asyncio.CancelledError:
        await asyncio.wait(jobs)
        raise
    for job in jobs:
        job.result()


async def _abandon(sandbox: Resident | None, folder: SandboxFolder) -> None:
    if sandbox is not None:
        await sandbox.destroy()
    else:
        await asyncio.to_thread(folder.remove)
