"""Experiment: object storage, table and queue answer errors."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.faults import killing
from chaos.scene import staged

_ERRORS = 0.1


async def play(run: Run) -> Verdict:
    """Run fewer jobs, because moto is slow. Executors are killed, too, so that code is fetched again."""
    jobs, kills = run.count(1_500, 60), run.count(10, 1)
    mischief = {"seed": run.seed, "errors": _ERRORS, "batch_faults": 0.02, "throttle": 0.02, "cut": 0.01}
    shape = Shape(executors=2, queue="sqs", mischief=mischief, cloud_errors=_ERRORS, seed=run.seed)
    async with staged(run, shape, "errors") as scene:
        plan = Plan(
            jobs, over_s=kills * 10.0, sleep_s=lambda rng: rng.uniform(0.01, 0.1), waiters=4, files=0.1, keyed=0.5
        )
        await scene.play(plan, killing(scene.cluster.kin("executor"), 8.0, kills, scene.rng))
        return await scene.verdict()


EXPERIMENT = Experiment("errors", "1,500 jobs, 10 % errors from object storage, table and queue", play)
