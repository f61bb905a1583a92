"""Experiment: Redis is killed while clients wait for results."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import LEASE_S, Shape
from chaos.experiments import Experiment, Run
from chaos.faults import killing
from chaos.member import RESTART_S
from chaos.scene import staged

_WAITERS = 50
_DOWN_S = (RESTART_S, LEASE_S + 1.5)  # every other time for longer than a lease
_WAIT_S = 40.0  # longer than any job with Redis's restarts: a caller unanswered by then was forgotten


async def play(run: Run) -> Verdict:
    """Run with `appendfsync always`, because with everysec Redis may lose its last second."""
    jobs, kills, every_s = run.count(5_000, 100), run.count(12, 2), run.every_s(10.0)
    async with staged(run, Shape(fsync="always", env={"NANOGRID_GATEWAY_WAIT_S": str(_WAIT_S)}), "redis") as scene:
        plan = Plan(
            jobs,
            over_s=kills * every_s,
            sleep_s=lambda rng: rng.uniform(0.05, 0.5),
            submitters=8,
            waiters=_WAITERS,
            keyed=0.5,
        )
        await scene.play(plan, killing([scene.cluster["redis"]], every_s, kills, scene.rng, _DOWN_S))
        return await scene.verdict()


EXPERIMENT = Experiment("redis", "5,000 jobs, 50 synchronous waiters, Redis SIGKILLed every 10 s", play)
