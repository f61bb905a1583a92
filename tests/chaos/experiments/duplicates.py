"""Experiment: the queue duplicates, reorders, redelivers early and forgets deletes, as SQS may."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.faults import killing
from chaos.scene import staged

_MISCHIEF = {
    "duplicates": 0.05,
    "reorder": 0.05,
    "lost_deletes": 0.02,
    "early_redelivery": 0.01,
    "stale_receipts": 0.01,
    "scarce": 0.02,
}


async def play(run: Run) -> Verdict:
    jobs, kills = run.count(10_000, 60), run.count(12, 2)
    shape = Shape(slots=8, queue="sqs", mischief={"seed": run.seed, **_MISCHIEF})
    async with staged(run, shape, "duplicates") as scene:
        plan = Plan(jobs, over_s=kills * 5.0, sleep_s=lambda rng: rng.uniform(0.05, 0.4), waiters=4)
        await scene.play(plan, killing(scene.cluster.kin("executor"), 5.0, kills, scene.rng))
        return await scene.verdict()


EXPERIMENT = Experiment("duplicates", "10,000 jobs, 5 % duplicates, reordering, lost deletes, early redelivery", play)
