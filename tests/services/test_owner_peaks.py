"""The memory that a job's record and the operator's graphs say it needed."""

from dataclasses import replace

import pytest

from services.executor.sandbox import CallError
from support.fake_sandboxes import OK
from support.runner_rig import Rig, runner_rig

MIB = 1024 * 1024

rig = runner_rig


@pytest.mark.parametrize(("peak", "recorded"), [(50 * MIB, 44 * MIB), (6 * MIB, 4096), (1 * MIB, 4096), (0, 0)])
async def test_a_measured_peak_is_never_nothing_and_nothing_is_never_measured(
    rig: Rig, peak: int, recorded: int
) -> None:
    rig.provider.result = replace(OK, peak_memory_bytes=peak)

    job = await rig.ended(await rig.submit())

    assert job.peak_memory_bytes == recorded
    assert rig.peaks.observed == [recorded]  # the sinks leave out what was not measured


async def test_a_function_that_fails_to_load_has_the_peak_of_its_loading(rig: Rig) -> None:
    rig.provider.init = CallError("InitError", "no module")

    job = await rig.ended(await rig.submit())

    assert (job.error.type, job.peak_memory_bytes) == ("InitError", 14 * MIB)
