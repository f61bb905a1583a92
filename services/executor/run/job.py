"""Runs a job: gets its code and sandbox, calls the function, stores its outputs and fills in the record."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from nanogrid.artifacts import Artifacts
from nanogrid.jobs.message import Message
from nanogrid.logs import logger
from nanogrid.outages import until_available
from nanogrid.runtimes import RUNTIMES, Runtime
from nanogrid.timestamps import set_now
from nanogrid.v1.resources_pb2 import Job, OutputFile, SandboxMode
from services.executor.code.builds import BuildFailedError, Builds
from services.executor.code.cache import CodeCache
from services.executor.metrics import PeakSink
from services.executor.pool.pool import Pool
from services.executor.pool.slot import Slot, SlotState
from services.executor.run.capture import Capture
from services.executor.run.memory_advice import MemoryAdvisor, own_peak
from services.executor.run.outcome import note_output, report
from services.executor.run.output_files import (
    OutputLimits,
    OutputRefusedError,
    collect,
    is_empty,
    refuse_if_full,
)
from services.executor.run.output_log import OutputLogs
from services.executor.sandbox import (
    CallError,
    CallRequest,
    CallResult,
    SandboxLostError,
    Specialisation,
)

log = logger()


class JobRunner:
    """Runs jobs. Safe to use concurrently."""

    def __init__(
        self,
        pool: Pool,
        code: CodeCache,
        tuner: MemoryAdvisor,
        live: OutputLogs,
        artifacts: Artifacts,
        *,
        builds: Builds,
        resolve: Callable[[str], Awaitable[Runtime]],
        limits: OutputLimits,
        peaks: PeakSink,
    ) -> None:
        self._pool = pool
        self._code = code
        self._builds = builds
        self._tuner = tuner
        self._live = live
        self._artifacts = artifacts
        self._resolve = resolve
        self._limits = limits
        self._peaks = peaks

    async def run(self, message: Message) -> None:
        """Run the job and write its outcome into `message.job`, with a final state.

        Only faults of the platform are raised: SandboxStartError and NanoGridError.
        """
        job = message.job
        set_now(job.started_at)
        runtime = await self._resolve(message.function.runtime)
        with self._live.of(job.job_id, job.owner) as output:
            capture = Capture(output.take)
            slot = await self._pool.take(message.identity, runtime)
            try:
                _name_runtime(job, message.function.runtime, slot.sandbox.runtime)
                job.cold_start = slot.state is SlotState.GENERIC
                outcome = await self._call(message, slot, capture)
                outcome = await self._with_outputs(message.job, slot, outcome)
            except asyncio.CancelledError:
                note_output(job, capture)  # so that a cancelled job's record has its output
                raise
            finally:
                await self._pool.give_back(slot)
        self._advise(message, slot, outcome)
        report(job, outcome, capture, slot.kind)

    async def _call(self, message: Message, slot: Slot, capture: Capture) -> CallResult:
        memory_mb = self._memory_mb(message)
        if slot.state is SlotState.GENERIC:
            try:
                error = await self._specialise(message, slot, memory_mb, capture)
            except BuildFailedError as failed:
                error = failed.error
            if error is not None:
                _raise_if_lost(error)
                return CallResult(None, error, None, slot.sandbox.loading_bytes, 0.0, reusable=False)
        await slot.resize(memory_mb)
        outcome = await slot.call(CallRequest(message.job.job_id, message.payload, message.timeout_s, capture.take))
        _raise_if_lost(outcome.error)
        return outcome

    async def _specialise(self, message: Message, slot: Slot, memory_mb: int, capture: Capture) -> CallError | None:
        function, runtime = message.function, slot.sandbox.runtime
        async with self._code_of(message, runtime) as folder, self._builds.program_of(runtime, folder) as program:
            what = Specialisation(
                function_id=function.function_id,
                code_dir=folder,
                handler=runtime.handler_as_meant(function.handler) or runtime.handler_of_folder(_names(folder)),
                memory_mb=memory_mb,
                fresh=function.mode == SandboxMode.SANDBOX_MODE_FRESH,
                env=dict(function.env),
                program=program,
            )
            return await slot.specialise(what, capture.take)

    def _code_of(self, message: Message, runtime: Runtime) -> AbstractAsyncContextManager[Path]:
        function = message.function
        if message.inline_code:
            return self._code.written(runtime.source_of(function.handler), message.inline_code)
        return self._code.checked_out(function.s3_key, function.code_sha256)

    def _memory_mb(self, message: Message) -> int:
        function = message.function
        if not function.auto_memory:
            return function.memory_mb
        return self._tuner.limit_mb(message.identity, function.memory_mb)

    async def _with_outputs(self, job: Job, slot: Slot, outcome: CallResult) -> CallResult:
        """Store the output files and return the outcome. Refused output makes it a failure."""
        folder = slot.sandbox.output_dir
        if is_empty(folder):
            return outcome
        try:
            refuse_if_full(folder, outcome.error)
            job.output_files.extend(await self._stored(job.job_id, folder))
        except OutputRefusedError as refused:
            return replace(outcome, error=refused.error, result=None)
        return outcome

    async def _stored(self, job_id: str, folder: Path) -> list[OutputFile]:
        """Store the output files, waiting while artifacts is down, because the job must not run again."""
        return await until_available(
            lambda: collect(job_id, folder, self._limits, self._artifacts.store_output),
            "output files wait for artifacts",
        )

    def _advise(self, message: Message, slot: Slot, outcome: CallResult) -> None:
        job, function, own = message.job, message.function, slot.sandbox.runtime_bytes
        job.memory_mb = slot.memory_mb
        job.runtime_memory_bytes = own
        job.peak_memory_bytes = own_peak(outcome.peak_memory_bytes, own)
        self._peaks.observe(job.function_id, slot.sandbox.runtime.name, job.peak_memory_bytes)
        if outcome.error is not None and outcome.error.type == "OutOfMemory":
            self._tuner.ran_out(message.identity)
        advice = self._tuner.learn(message.identity, function.memory_mb, outcome.peak_memory_bytes, own)
        job.optimization_tip, job.recommended_memory_mb = advice.tip, advice.recommended_memory_mb
        job.estimated_saving_percent, job.advice_calls = advice.saving_percent, advice.calls


def _name_runtime(job: Job, wanted: str, runtime: Runtime) -> None:
    """Record the runtime that serves the job, and the requested version if it stands in for another."""
    job.runtime = runtime.name
    job.requested_runtime = wanted if wanted in RUNTIMES and wanted != runtime.name else ""


def _raise_if_lost(error: CallError | None) -> None:
    if error is not None and error.type == "Lost":
        raise SandboxLostError(error.message)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
