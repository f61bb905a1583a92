"""Experiment: stopped executors resume while Redis is down, and store their outcomes in object storage first."""

import asyncio

from chaos.audit import Verdict
from chaos.client import Plan
from chaos.cluster import Shape
from chaos.experiments import Experiment, Run
from chaos.scene import Scene, staged

_DOWN_S = 1.5
_LEASE_S = 6.0  # well above that, because an outage longer than a lease takes every job from its owner
_ENV = {"NANOGRID_EXECUTOR_LEASE_S": str(_LEASE_S), "NANOGRID_EXECUTOR_VISIBILITY_S": str(_LEASE_S)}


async def play(run: Run) -> Verdict:
    async with staged(run, Shape(slots=8, fsync="always", env=_ENV), "outage") as scene:
        plan = Plan(jobs=32, over_s=0.5, sleep_s=lambda rng: rng.uniform(0.3, 1.0), submitters=8, waiters=4)
        await scene.keep_busy(plan, _waking_in_an_outage(scene, run.count(12)))
        return await scene.verdict()


async def _waking_in_an_outage(scene: Scene, times: int) -> None:
    executors = scene.cluster.kin("executor")
    for _ in range(times):
        chosen = scene.rng.sample(executors, 2)
        await asyncio.sleep(scene.rng.uniform(1.0, 2.0))
        for one in chosen:
            one.pause()
        await asyncio.sleep(2 * _LEASE_S + 2.0)  # long enough for other executors to finish their jobs
        scene.cluster["redis"].kill(_DOWN_S)
        for one in chosen:
            one.resume()
        await asyncio.sleep(_DOWN_S + 1.0)


EXPERIMENT = Experiment("outage", "12 times two stopped owners wake while Redis is down", play)
