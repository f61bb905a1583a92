"""Runs a function with its ledger, clients and an observer on one cluster, and audits the run."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from chaos.audit import Ending, Evidence, Verdict, audit, ending
from chaos.client import ACCEPTED, ANSWERED, Clients, Plan, endings, unfinished
from chaos.cluster import LEASE_S, VISIBILITY_S, Cluster, Shape, running
from chaos.experiments import Run
from chaos.ledger import SOURCE, Ledger
from chaos.observer import observing
from nanogrid.errors import UnavailableError
from nanogrid.queue import Depth, open_queue

SETTLE_S = 600.0  # for accepted jobs to end after the last fault, a bound for slow machines
HURRY_S = 12.0  # replaces both on a broken grid, where some jobs never end
EMPTY_S = 4 * (LEASE_S + VISIBILITY_S)  # for the messages of ended jobs to be deleted


@dataclass(slots=True)
class Scene:
    """One run on one cluster. All random choices come from `rng`, so that a seed repeats a run."""

    cluster: Cluster
    ledger: Ledger
    clients: Clients
    rng: random.Random
    published: list[tuple[str, Ending]] = field(default_factory=list)

    async def play(self, plan: Plan, *faults: Coroutine[Any, Any, None]) -> None:
        """Submit the plan's jobs while the faults happen, and wait for both."""
        await _all(self.clients.run(plan), *faults)

    async def keep_busy(self, plan: Plan, *faults: Coroutine[Any, Any, None]) -> None:
        """Submit the plan's jobs again and again until the faults have happened."""
        troubles = asyncio.create_task(_all(*faults))
        try:
            while not troubles.done():
                await self.clients.run(plan)
        finally:
            troubles.cancel()
            await asyncio.gather(troubles, return_exceptions=True)
        troubles.result()

    async def verdict(self) -> Verdict:
        """Wait for all jobs to end, then audit."""
        hurry = bool(self.cluster.shape.sabotage)
        job_ids = {one.job_id for one in self.clients.tries if one.outcome in (ACCEPTED, ANSWERED)}
        said: dict[str, Any] = {}
        while True:
            job_ids |= {one.job_id for one in self.ledger.executions()}
            more = sorted(job_ids - said.keys())
            said |= await endings(self.cluster.gateways, more, HURRY_S if hurry else SETTLE_S)
            depth = await self._emptied(HURRY_S if hurry else EMPTY_S)
            # A job that was refused but recorded is swept late, and has to end, too.
            open_jobs = await unfinished(self.cluster.gateways[0])
            job_ids |= {one.job_id for one in self.ledger.executions()} | set(open_jobs)
            if job_ids <= said.keys():
                break
        evidence = Evidence(
            tries=self.clients.tries,
            executions=self.ledger.executions(),
            said=said,
            published=self.published,
            unfinished=open_jobs,
            kept=await asyncio.to_thread(self._kept, job_ids),
            faults=self.cluster.journal.faults,
            left=depth.waiting + depth.in_flight + depth.delayed,
            dead=depth.dead,
            misfortunes=await asyncio.to_thread(self.cluster.cloud.misfortunes) if self.cluster.cloud else 0,
        )
        (self.cluster.folder / "evidence.json").write_text(json.dumps(asdict(evidence), indent=1))
        return audit(evidence)

    def _kept(self, job_ids: set[str]) -> list[tuple[str, Ending]]:
        """Return the durable results of these jobs, read from their storage."""
        if self.cluster.cloud and (found := self.cluster.cloud.kept(job_ids)):
            return found
        files = (self.cluster.folder / "data" / "artifacts" / "data" / "results").glob("*.json")
        return [(file.stem, ending(json.loads(file.read_bytes()))) for file in files if file.stem in job_ids]

    async def _emptied(self, within_s: float) -> Depth:
        """Return the queue's depth once it is empty, or when the time is over."""
        deadline = time.monotonic() + within_s
        # The auditor's SQS client finds the stand-in by the environment, like the grid's clients.
        os.environ.update({name: value for name, value in cloud_env(self.cluster).items() if name.startswith("AWS_")})
        async with open_queue(self.cluster.queue_url, "auditor") as queue:
            while True:
                try:
                    depth = await queue.depth()
                    if not depth.waiting + depth.in_flight + depth.delayed or time.monotonic() > deadline:
                        return depth
                except UnavailableError:
                    if time.monotonic() > deadline:
                        raise
                await asyncio.sleep(0.2)


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Run all concurrently. A failure cancels the rest."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def cloud_env(cluster: Cluster) -> dict[str, str]:
    return cluster.cloud.env if cluster.cloud else {}


@asynccontextmanager
async def staged(run: Run, shape: Shape, name: str) -> AsyncIterator[Scene]:
    """Run a cluster of this shape with a function uploaded and called, to show that it works before the faults."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running(run.folder, replace(shape, sabotage=run.sabotage)))
        ledger = Ledger(run.folder, f"{name}.ledger")
        function_id = await cluster.upload(SOURCE, {"LEDGER": str(ledger.path)})
        rng = random.Random(run.seed)
        clients = Clients(cluster.gateways, function_id, rng, name)
        published = await stack.enter_async_context(observing(cluster.redis_url))
        scene = Scene(cluster, ledger, clients, rng, published)
        await clients.run(Plan(jobs=shape.executors, over_s=0.1, sleep_s=lambda _: 0.0, submitters=0, waiters=2))
        yield scene
