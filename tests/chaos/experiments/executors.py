"""Experiment: executors are killed while they work."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import LEASE_S, VISIBILITY_S, Shape
from chaos.experiments import Experiment, Run
from chaos.faults import killing
from chaos.scene import staged

_EVERY_S = 3.0
_LONG_S = LEASE_S + VISIBILITY_S + 1.0  # so long that only heartbeats keep the lease


async def play(run: Run) -> Verdict:
    jobs, kills = run.count(10_000, 60), run.count(30, 3)
    async with staged(run, Shape(), "executors") as scene:
        over_s = kills * _EVERY_S
        short = Plan(jobs, over_s, sleep_s=lambda rng: rng.uniform(0.01, 0.1), waiters=8)
        long = Plan(max(2, jobs // 200), over_s / 2, sleep_s=lambda _: _LONG_S, submitters=1, waiters=1)
        await scene.play(
            short, killing(scene.cluster.kin("executor"), _EVERY_S, kills, scene.rng), scene.clients.run(long)
        )
        return await scene.verdict()


EXPERIMENT = Experiment("executors", "10,000 jobs, 4 executors, one of them SIGKILLed every 3 s", play)
