"""Jobs whose sandbox is lost, or whose sandboxes' backend is away: tried again, and never the function's failure."""

from nanogrid.queue import Depth
from nanogrid.v1.resources_pb2 import JobState
from services.executor.sandbox import CallError, SandboxOutageError
from support.runner_rig import EMPTY, Rig, runner_rig

rig = runner_rig


async def test_a_job_whose_sandbox_is_lost_is_tried_again_in_another(rig: Rig) -> None:
    rig.provider.loses = 2
    rig.provider.leaves = {"half.txt": b"half"}

    job = await rig.ended(await rig.submit())

    assert (job.state, job.attempt, rig.provider.made) == (JobState.JOB_STATE_SUCCESS, 3, 3)
    assert rig.bundles.stored == ["half.txt"]
    await rig.settled(EMPTY)


async def test_a_job_whose_sandboxes_are_always_lost_is_given_up_with_the_reason(rig: Rig) -> None:
    rig.provider.loses = 3

    job = await rig.ended(await rig.submit())

    assert (job.state, job.error.type) == (JobState.JOB_STATE_FAILED, "Lost")
    assert job.error.message == "the sandbox was killed (after 3 tries)"
    await rig.settled(Depth(0, 0, 0, dead=1))


async def test_a_sandbox_lost_while_it_loads_is_tried_again(rig: Rig) -> None:
    rig.provider.init = CallError("Lost", "the sandbox was killed")

    job = await rig.ended(await rig.submit())

    assert (job.error.type, job.attempt, rig.provider.calls) == ("Lost", 3, [])


async def test_while_sandboxes_cannot_be_made_at_all_no_try_is_used_up(rig: Rig) -> None:
    rig.provider.fails = 3
    rig.provider.fault = SandboxOutageError("the daemon cannot be reached")

    job = await rig.ended(await rig.submit())

    assert (job.state, job.attempt, rig.provider.fails) == (JobState.JOB_STATE_SUCCESS, 1, 0)
    await rig.settled(EMPTY)
