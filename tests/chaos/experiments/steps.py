"""Experiments: a process is killed right after each step of accepting, running and finishing a job."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.member import Member
from chaos.scene import Scene, staged
from chaos.steps import Step

# By step: the kind of process and the method after which it is killed. After one step is before the next.
Steps = Mapping[str, tuple[str, str]]
ACCEPTING: Steps = {
    "recorded": ("invoker", "nanogrid.jobs.redis:RedisJobs.create"),
    "queued": ("invoker", "nanogrid.queue.redis:RedisQueue.send"),
    "noted as sent": ("invoker", "nanogrid.jobs.redis:RedisJobs.sent"),
}
FINISHING: Steps = {
    "received": ("executor", "nanogrid.queue.redis:RedisQueue.receive"),
    "claimed": ("executor", "nanogrid.jobs.redis:RedisJobs.claim"),
    "run": ("executor", "services.executor.run.job:JobRunner.run"),
    "recorded and published": ("executor", "nanogrid.jobs.redis:RedisJobs.finish"),
    "stored": ("artifacts", "services.artifacts.results:DurableResults.keep"),
    "kept": ("executor", "nanogrid.artifacts:ArtifactsClient.keep_results"),
    "deleted": ("executor", "nanogrid.queue.redis:RedisQueue.delete_batch"),
}
_LOOK_S = 0.1
_LATEST = 9  # the process dies at a call of the step between the first and this one


class Reaper:
    """Makes its victims die at a step, again after each restart."""

    def __init__(self, victims: Sequence[Member], where: str, rng: random.Random) -> None:
        self._victims = victims
        self._where = where
        self._rng = rng

    async def reap(self, times: int) -> None:
        """Let `times` victims die at the step, then restart them unarmed."""
        wanted = self._deaths() + times
        for one in self._victims:
            one.next_env = self._env
            one.kill()  # so that it restarts armed
        while self._deaths() < wanted:
            await asyncio.sleep(_LOOK_S)
        for one in self._victims:
            one.next_env = dict
            one.kill()

    def _deaths(self) -> int:
        return sum(one.deaths for one in self._victims)

    def _env(self) -> Mapping[str, str]:
        return {"CHAOS_DIE": str(Step(self._where, count=self._rng.randint(1, _LATEST)))}


async def _play(run: Run, name: str, steps: Steps) -> Verdict:
    async with staged(run, Shape(), name) as scene:
        for kind, where in steps.values():
            await _step(scene, kind, where, run.count(50))
        return await scene.verdict()


async def _step(scene: Scene, kind: str, where: str, times: int) -> None:
    reaper = Reaper(_half(scene.cluster.kin(kind)), where, scene.rng)
    plan = Plan(jobs=40, over_s=0.5, sleep_s=lambda rng: rng.uniform(0.0, 0.05), submitters=8, waiters=4, keyed=0.5)
    await scene.keep_busy(plan, reaper.reap(times))


def _half(kin: Sequence[Member]) -> Sequence[Member]:
    """Return half of them: a job that meets three deaths is given up, so some must live."""
    return kin[: max(1, len(kin) // 2)]


EXPERIMENTS = (
    Experiment(
        "accepting",
        "an invoker is killed after each single step of accepting, 50 times each",
        partial(_play, name="accepting", steps=ACCEPTING),
    ),
    Experiment(
        "finishing",
        "an executor, or artifacts, is killed after each step of running and finishing, 50 times each",
        partial(_play, name="finishing", steps=FINISHING),
    ),
)
