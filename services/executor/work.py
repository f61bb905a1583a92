"""Running a job: code, sandbox, call, outputs, and what the record says of it all."""

from collections.abc import Callable

import orjson

from nanogrid.errors import RuntimeNotSupportedError
from nanogrid.jobs.task import Task
from nanogrid.runtimes import resolve
from nanogrid.v1.resources_pb2 import Job, JobError, JobState, SandboxMode
from services.executor.capture import Capture
from services.executor.code import CodeCache
from services.executor.live import LiveOutput
from services.executor.outputs import OutputLimits, OutputRefusedError, StoreOutput, collect
from services.executor.pool import Pool
from services.executor.sandbox import (
    CallError,
    CallRequest,
    CallResult,
    Kind,
    OutputStream,
    SandboxStartError,
    Specialisation,
)
from services.executor.slot import Slot, SlotState
from services.executor.tuner import Tuner


class Work:
    """Runs one job at a time per call; safe to use concurrently."""

    def __init__(
        self,
        pool: Pool,
        code: CodeCache,
        tuner: Tuner,
        live: LiveOutput,
        store: StoreOutput,
        *,
        offered: Callable[[], frozenset[str]],
        limits: OutputLimits,
    ) -> None:
        self._pool = pool
        self._code = code
        self._tuner = tuner
        self._live = live
        self._store = store
        self._offered = offered
        self._limits = limits

    async def run(self, task: Task) -> None:
        """Run the job and write everything but its id into `task.job`, whose state is final afterwards.

        Only faults of the platform are raised: SandboxStartError and NanoGridError.
        """
        job = task.job
        job.started_at.GetCurrentTime()
        try:
            runtime = resolve(task.function.runtime, self._offered())
        except RuntimeNotSupportedError as error:
            _conclude(job, CallError("RuntimeNotSupported", error.message), None)
            return
        with self._live.of(job.job_id, job.owner) as output:
            capture = Capture(output.take)
            slot = await self._pool.take(task.function, runtime)
            try:
                job.cold_start = slot.state is SlotState.GENERIC
                outcome = await self._call(task, slot, capture)
                outcome = await self._with_outputs(task.job, slot, outcome)
            finally:
                await self._pool.give_back(slot)
        job.stdout, job.stderr = capture.text(OutputStream.STDOUT), capture.text(OutputStream.STDERR)
        self._write(task, slot, outcome, capture)

    async def _call(self, task: Task, slot: Slot, capture: Capture) -> CallResult:
        function = task.function
        if slot.state is SlotState.GENERIC:
            async with self._code.checked_out(function.s3_key, function.code_sha256) as folder:
                what = Specialisation(
                    function_id=function.function_id,
                    code_dir=folder,
                    handler=function.handler,
                    memory_mb=function.memory_mb,
                    fresh=function.mode == SandboxMode.SANDBOX_MODE_FRESH,
                    env=dict(function.env),
                )
                if (error := await slot.specialise(what, capture.take)) is not None:
                    return CallResult(None, error, None, 0, 0.0, reusable=False)
        timeout_s = float(function.timeout_s) if function.timeout_s else None
        outcome = await slot.call(CallRequest(task.job.job_id, task.payload, timeout_s, capture.take))
        if outcome.error is not None and outcome.error.type == "Lost":
            raise SandboxStartError(outcome.error.message)  # it died idle: nothing of the call was run
        return outcome

    async def _with_outputs(self, job: Job, slot: Slot, outcome: CallResult) -> CallResult:
        try:
            job.output_files.extend(await collect(job.job_id, slot.sandbox.output_dir, self._limits, self._store))
        except OutputRefusedError as refused:
            if outcome.error is None:
                return CallResult(
                    None,
                    refused.error,
                    outcome.exit_code,
                    outcome.peak_memory_bytes,
                    outcome.duration_ms,
                    outcome.reusable,
                )
        return outcome

    def _write(self, task: Task, slot: Slot, outcome: CallResult, capture: Capture) -> None:
        job = task.job
        job.execution_time_ms = round(outcome.duration_ms, 3)
        job.peak_memory_bytes = outcome.peak_memory_bytes
        advice = self._tuner.learn(task.function.function_id, task.function.memory_mb, outcome.peak_memory_bytes)
        job.optimization_tip, job.recommended_memory_mb = advice.tip, advice.recommended_memory_mb
        job.estimated_saving_percent, job.advice_calls = advice.saving_percent, advice.calls
        fallback = 0 if outcome.error is None else 1  # a handler that returned or raised ended no process
        job.exit_code = fallback if outcome.exit_code is None else outcome.exit_code
        result = _printed_result(capture) if slot.kind is Kind.PROGRAM else outcome.result
        _conclude(job, outcome.error, result)


def _conclude(job: Job, error: CallError | None, result: bytes | None) -> None:
    job.ended_at.GetCurrentTime()
    if error is None:
        job.state = JobState.JOB_STATE_SUCCESS
        job.result = result or b"null"
    else:
        job.state = JobState.JOB_STATE_FAILED
        job.error.CopyFrom(JobError(type=error.type, message=error.message, stack=error.stack))


def _printed_result(capture: Capture) -> bytes | None:
    """A program's result is its last stdout line when that is JSON."""
    line = capture.last_line()
    if line is None:
        return None
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return line
