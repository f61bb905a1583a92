"""Experiment: jobs with deleted code are given up after three tries and dead-lettered."""

import shutil

from chaos.audit import Verdict
from chaos.client import Clients, Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.ledger import SOURCE
from chaos.scene import Scene, staged


async def play(run: Run) -> Verdict:
    async with staged(run, Shape(), "letters") as scene:
        lost = await _without_code(scene)
        plan = Plan(run.count(500, 10), over_s=2.0, sleep_s=lambda rng: rng.uniform(0.0, 0.05), waiters=4)
        await scene.play(plan, lost.run(plan))
        scene.clients.tries += lost.tries
        return await scene.verdict()


async def _without_code(scene: Scene) -> Clients:
    """Return clients of a function with its bundle deleted from the bucket."""
    function_id = await scene.cluster.upload(SOURCE + "# another digest", {"LEDGER": str(scene.ledger.path)})
    shutil.rmtree(scene.cluster.folder / "data" / "artifacts" / "code" / "functions" / function_id)
    return Clients(scene.cluster.gateways, function_id, scene.rng, "letters-lost")


EXPERIMENT = Experiment("letters", "500 jobs whose code is gone, among 500 others", play)
