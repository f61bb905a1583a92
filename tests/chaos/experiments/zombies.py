"""Experiment: executors are stopped past their leases and resume as zombies."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.faults import raising_zombies
from chaos.scene import staged

_SLOTS = 12


async def play(run: Run) -> Verdict:
    """Stop two of four executors at a time, with every place taken, so that many zombies resume at once."""
    async with staged(run, Shape(slots=_SLOTS), "zombies") as scene:
        plan = Plan(jobs=64, over_s=1.0, sleep_s=lambda rng: rng.uniform(0.5, 2.0), submitters=16, waiters=4)
        await scene.keep_busy(plan, raising_zombies(scene.cluster, scene.ledger, run.count(300, 4), scene.rng))
        return await scene.verdict()


EXPERIMENT = Experiment("zombies", "300 jobs whose owner is SIGSTOPped past its lease and comes back", play)
