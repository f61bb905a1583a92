"""Injects faults at intervals: kills, flushes and pauses."""

import asyncio
import itertools
import random
from collections.abc import Sequence

from redis.asyncio import Redis

from chaos.cluster import LEASE_S, VISIBILITY_S, Cluster
from chaos.journal import EVERYBODY
from chaos.ledger import Ledger
from chaos.member import RESTART_S, Member

ASLEEP_S = LEASE_S + VISIBILITY_S + 1.0  # a zombie's pause, after which it has lost lease and message


async def killing(
    victims: Sequence[Member], every_s: float, times: int, rng: random.Random, down_s: Sequence[float] = (RESTART_S,)
) -> None:
    """SIGKILL a random victim every `every_s` seconds, and keep it down for each of `down_s` in turn."""
    for down, _ in zip(itertools.cycle(down_s), range(times), strict=False):
        await asyncio.sleep(every_s)
        rng.choice(victims).kill(down)


async def flushing(cluster: Cluster, every_s: float, times: int, rng: random.Random) -> None:
    """Flush the job store's Redis, and after every other flush kill an executor.

    The two are never so close that both fall between an answer and its durable copy, which would lose the answer.
    """
    executors = cluster.kin("executor")
    for number in range(times):
        await asyncio.sleep(every_s / 2)
        async with Redis.from_url(cluster.redis_url) as client:
            cluster.journal.note("flushed", EVERYBODY)
            await client.flushall()
        await asyncio.sleep(every_s / 2)
        if number % 2:
            rng.choice(executors).kill()


async def raising_zombies(cluster: Cluster, ledger: Ledger, zombies: int, rng: random.Random) -> None:
    """Stop executors during jobs and resume them, until `zombies` jobs had such an owner."""
    raised = 0
    executors = cluster.kin("executor")
    while raised < zombies:
        chosen = rng.sample(executors, max(1, len(executors) // 2))
        await asyncio.sleep(rng.uniform(0.2, 0.6))
        for one in chosen:
            one.pause()
        raised += sum(ledger.running(one.name) for one in chosen)
        await asyncio.sleep(ASLEEP_S)
        for one in chosen:
            one.resume()
        await asyncio.sleep(0.3)
