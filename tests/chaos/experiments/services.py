"""Experiment: gateways, invokers, registry and artifacts are killed."""

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.faults import killing
from chaos.scene import staged

_EVERY_S = 5.0


async def play(run: Run) -> Verdict:
    jobs, kills = run.count(5_000, 60), run.count(20, 2)
    async with staged(run, Shape(), "services") as scene:
        plan = Plan(
            jobs, over_s=kills * _EVERY_S, sleep_s=lambda rng: rng.uniform(0.01, 0.2), waiters=8, files=0.2, keyed=0.5
        )
        victims = [scene.cluster.kin(kind) for kind in ("gateway", "invoker", "registry", "artifacts")]
        await scene.play(plan, *(killing(kind, _EVERY_S, kills, scene.rng) for kind in victims))
        return await scene.verdict()


EXPERIMENT = Experiment(
    "services", "5,000 jobs while a gateway, an invoker, registry and artifacts are SIGKILLed every 5 s", play
)
