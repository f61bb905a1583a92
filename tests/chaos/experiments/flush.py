"""Experiment: the job store is flushed. Jobs are rebuilt from messages, results read from object storage."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.faults import flushing
from chaos.scene import staged

_EVERY_S = 3.0
# A caller unanswered this long after the last flush was forgotten. Jobs of a killed owner wait for the last flush,
# because flushes come as often as leases end, and each restarts the wait for the owner.
_WAIT_S = 30.0


async def play(run: Run) -> Verdict:
    jobs, times = run.count(5_000, 100), run.count(20, 2)
    shape = Shape(queue="apart", fsync="always", env={"NANOGRID_GATEWAY_WAIT_S": str(times * _EVERY_S + _WAIT_S)})
    async with staged(run, shape, "flush") as scene:
        plan = Plan(jobs, over_s=times * _EVERY_S, sleep_s=lambda rng: rng.uniform(0.01, 0.5), waiters=12)
        await scene.play(plan, flushing(scene.cluster, _EVERY_S, times, scene.rng))
        return await scene.verdict()


EXPERIMENT = Experiment("flush", "5,000 jobs while the job store is flushed, the queue being elsewhere", play)
