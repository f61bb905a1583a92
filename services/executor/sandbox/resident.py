"""Implements the Sandbox of both adapters: a resident runtime on a control socket, in any cage."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from nanogrid.logs import logger
from nanogrid.runtimes import Runtime
from services.executor.sandbox import (
    CallError,
    CallRequest,
    CallResult,
    Kind,
    OutputStream,
    SandboxSettings,
    SandboxStartError,
    Specialisation,
    frames,
)
from services.executor.sandbox.cage import Cage
from services.executor.sandbox.cgroup import Cgroup, Usage
from services.executor.sandbox.folder import SandboxFolder, write_payload
from services.executor.sandbox.link import ControlConnection, Gone, Listener, TooLarge, listen
from services.executor.sandbox.output import Output
from services.executor.sandbox.verdict import Broken, Ending, Exited, Killed, Oversized, TimedOut, judge, judge_init

log = logger()

_DYING_S = 5.0  # how long a sandbox that hung up may take to say how it died: its memory is taken back first
_SETTLE_S = 1.0  # how long the socket of a killed one may take to close
_INLINE_BYTES = 64 * 1024  # up to this size a thread costs more than the work
_CHECKER = ThreadPoolExecutor(1, "check-result")  # one at a time, because parsing hostile JSON takes ten times its size


class Resident:
    """One sandbox. Calls must not overlap. After an unexpected error it must be destroyed."""

    def __init__(self, runtime: Runtime, folder: SandboxFolder, cage: Cage, settings: SandboxSettings) -> None:
        """Create sockets and FIFOs in the existing `folder`. `open_resident` does the rest."""
        self.sandbox_id = folder.path.name
        self.runtime = runtime
        self.output_dir = folder.output
        self._folder = folder
        self._cage = cage
        self._settings = settings
        self._output = Output(folder.io, folder.uid)
        self._payload = folder.open_payload()
        self._listener: Listener | None = listen(folder.io, folder.uid)
        self._link = ControlConnection()
        self._cgroup: Cgroup | None = None
        self._what: Specialisation | None = None
        self._kind = Kind.HANDLER
        self._ended: asyncio.Task[None] | None = None
        self.runtime_bytes = self.loading_bytes = 0

    @property
    def alive(self) -> bool:
        """Return whether the runtime is still connected. After an idle death the pool takes another sandbox."""
        return self._ended is None and self._link.alive

    @property
    def destroyed(self) -> bool:
        """Return whether it is completely removed."""
        return self._ended is not None and self._ended.done()

    async def greet(self) -> None:
        """Wait for the runtime to connect. Gone or ProtocolError when it fails. The caller sets the timeout."""
        assert self._listener is not None
        said: list[bytes] = []
        self._output.begin(lambda _, piece: said.append(piece))
        accepting = asyncio.ensure_future(self._listener.accept())
        ends: list[asyncio.Future[Any]] = [accepting, self._output.exit_status]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not accepting.done():
                self._output.end()
                raise Gone(f"the runtime could not start: {b''.join(said)[-2000:].decode(errors='replace').strip()}")
            self._link, pid = accepting.result()
        finally:
            accepting.cancel()
            self._output.end()
        self._listener = None
        frames.parse_hello(await self._link.ask(None, frames.HEADER_BYTES), self.runtime.language)
        self._cgroup = self._cage.watch(pid)
        self._cgroup.begin()
        self.runtime_bytes = self._cgroup.end().peak_bytes

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | Kind:
        self._what = what
        cgroup = self._group()
        self._output.begin(on_output)
        try:
            await asyncio.to_thread(self._folder.place_code, what.code_dir, what.program)
            cgroup.limit_memory(what.memory_mb << 20)
            cgroup.begin()
            # Less than at the start if the kernel has reclaimed files that were only read then.
            self.runtime_bytes = min(self.runtime_bytes, cgroup.end().peak_bytes)
            # The CPU limit is set after loading, because imports are the slow part of a first call.
            loaded = await self._load(what, cgroup)
            if isinstance(loaded, Kind):
                self._kind = loaded
                cgroup.limit_cpu(what.cpus or self._settings.cpus)
        except OSError as error:
            raise SandboxStartError(f"the sandbox could not be specialised: {error}") from error
        finally:
            self._output.end()
        return loaded

    async def _load(self, what: Specialisation, cgroup: Cgroup) -> CallError | Kind:
        question = frames.specialise(self._function(what))
        answer = await self._converse(question, frames.HEADER_BYTES, self._settings.init_timeout_s)
        usage = await self._measured(answer, cgroup)
        self.loading_bytes = usage.peak_bytes
        if isinstance(answer, frames.Frame):
            try:
                return frames.parse_ready(answer)
            except frames.ProtocolError as error:
                self._link.close()
                return judge_init(Broken(str(error)), usage, what.memory_mb)
        return judge_init(answer, usage, what.memory_mb)

    def _function(self, what: Specialisation) -> dict[str, object]:
        inside = self._cage.inside
        env = {**inside.env, **what.env}
        env |= {
            "HANDLER": what.handler,
            "AI_ENDPOINT": inside.ai_endpoint,
            "PAYLOAD_FILE": inside.payload_file,
        }
        return {
            "function_id": what.function_id,
            "handler": what.handler,
            "mode": "fresh" if what.fresh else "reuse",
            "code": inside.code,
            "env": env,
            "memory_mb": what.memory_mb,
            "result_bytes": self._settings.result_bytes,
            "own_pids": inside.own_pids,
        }

    async def call(self, request: CallRequest) -> CallResult:
        assert self._what is not None
        started = time.perf_counter()
        if not self.alive:
            lost = CallError("Lost", "the sandbox ended between two calls")
            return CallResult(None, lost, None, 0, 0.0, reusable=False)
        cgroup = self._group()
        self._output.begin(request.on_output)
        try:
            await self._write_payload(request.payload)
            ending, usage = await self._run(request, cgroup)
        finally:
            self._output.end()
        verdict = judge(ending, self._kind, usage, self._what.memory_mb)
        result: bytes | None = None
        error = verdict.error
        if error is None and self._kind is Kind.HANDLER and isinstance(ending, frames.Done):
            error = await _check(ending.result)
            result = ending.result if error is None else None
        duration_ms = (time.perf_counter() - started) * 1000
        reusable = self.alive and not verdict.spent
        return CallResult(result, error, verdict.exit_code, usage.peak_bytes, duration_ms, reusable)

    async def _run(self, request: CallRequest, cgroup: Cgroup) -> tuple[Ending, Usage]:
        timeout_s, limit = request.timeout_s, self._settings.result_bytes
        deadline_ms = None if timeout_s is None else int((time.time() + timeout_s) * 1000)
        question = frames.call({"job_id": request.job_id, "deadline_ms": deadline_ms}, request.payload)
        with contextlib.suppress(OSError):
            cgroup.begin()
        answer = await self._converse(question, frames.limit_of(b"D", limit), timeout_s)
        usage = await self._measured(answer, cgroup)
        if not isinstance(answer, frames.Frame):
            return answer, usage
        try:
            done = frames.parse_done(answer)
        except frames.ProtocolError as error:
            self._link.close()
            return Broken(str(error)), usage
        if len(done.result) > limit:
            return Oversized(len(done.result), limit), usage
        return done, usage

    async def _converse(
        self, question: bytes, limit: int, timeout_s: float | None
    ) -> frames.Frame | Exited | Killed | TimedOut | Oversized | Broken:
        try:
            return await self._link.ask(question, limit, timeout_s)
        except TimeoutError:
            return TimedOut(timeout_s or 0)
        except Gone:
            return await self._learn_death()
        except TooLarge as large:
            return Oversized(large.size, self._settings.result_bytes)
        except frames.ProtocolError as error:
            return Broken(str(error))

    async def _measured(self, answer: object, cgroup: Cgroup) -> Usage:
        """Return the usage. Kill everything of a call that timed out, and wait for its end."""
        usage = cgroup.end()
        if isinstance(answer, TimedOut):
            self._kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await self._link.closed.wait()
        return usage

    async def _learn_death(self) -> Exited | Killed:
        """Tell how a runtime that hung up ended. PID 1 says so and stays, unless it was killed itself."""
        status, gone = self._output.exit_status, asyncio.ensure_future(self._cage.init.ended())
        ends: list[asyncio.Future[Any]] = [status, gone]
        await asyncio.wait(ends, timeout=_DYING_S, return_when=asyncio.FIRST_COMPLETED)
        was_killed = gone.done()
        gone.cancel()
        await asyncio.wait([gone])
        self._output.learn_status()  # it may have come together with the death
        if status.done():
            return status.result()
        return Killed() if was_killed else Exited(None)

    async def _write_payload(self, payload: bytes) -> None:
        if len(payload) <= _INLINE_BYTES:
            write_payload(self._payload, payload)
        else:
            await asyncio.to_thread(write_payload, self._payload, payload)

    async def resize(self, memory_mb: int) -> None:
        assert self._what is not None
        try:
            self._group().limit_memory(memory_mb << 20)
        except OSError as error:  # v1 refuses a limit below the memory that cannot be freed
            log.info("memory limit kept", sandbox_id=self.sandbox_id, error=str(error))
            return
        self._what = replace(self._what, memory_mb=memory_mb)

    async def freeze(self) -> None:
        with contextlib.suppress(OSError):  # it died meanwhile, and is not `alive`
            await self._group().freeze()

    async def thaw(self) -> None:
        try:
            self._group().thaw()
        except OSError as error:
            raise SandboxStartError(f"the sandbox died while it rested: {error}") from error

    async def clear_output(self) -> None:
        try:
            with os.scandir(self.output_dir) as entries:
                is_empty = next(entries, None) is None
            if not is_empty:
                await asyncio.to_thread(self._folder.clear_output)
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxStartError(f"/output could not be emptied: {error}") from error

    async def destroy(self) -> None:
        if self._ended is None:
            self._ended = asyncio.create_task(self._destroy())
        await asyncio.shield(self._ended)

    async def _destroy(self) -> None:
        self._link.close()
        if self._listener is not None:
            self._listener.close()
        self._kill()
        if self._cgroup is not None:
            self._cgroup.close()
        self._output.close()
        os.close(self._payload)
        for remove in (self._cage.remove, partial(asyncio.to_thread, self._folder.remove)):
            try:
                await remove()
            except Exception:  # the next sweep tries again
                log.exception("sandbox could not be removed", sandbox_id=self.sandbox_id)

    def _kill(self) -> None:
        self._cage.kill()
        if self._cgroup is not None:
            with contextlib.suppress(OSError):
                self._cgroup.thaw()  # v1 delivers no signal to frozen processes

    def _group(self) -> Cgroup:
        assert self._cgroup is not None
        return self._cgroup


async def _check(result: bytes) -> CallError | None:
    if len(result) <= _INLINE_BYTES:
        return frames.check_result(result)
    return await asyncio.get_running_loop().run_in_executor(_CHECKER, frames.check_result, result)
