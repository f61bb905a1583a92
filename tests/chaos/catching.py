"""Checks the experiments: breaks the product in each known way, and expects its experiment to find it."""

import asyncio
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos.experiments import Run
from chaos.experiments.all import named
from chaos.ledger import ledger_folder
from chaos.sabotage import Breakage

SCALE = 0.02  # a broken promise shows early
AT_ONCE = 4  # in parallel, because most of the time is spent waiting for jobs that never end


@dataclass(frozen=True, slots=True)
class Catch:
    """The outcome of one breakage. `found` is the audit's problem, "" when it found none."""

    breakage: str
    experiment: str
    found: str

    def line(self) -> str:
        return f"{self.breakage}: {'caught by ' + self.experiment if self.found else 'NOT CAUGHT'}: {self.found}"


async def catch(breakage: Breakage, scale: float, seed: int) -> Catch:
    """Run the breakage's experiment on a broken grid."""
    folder = ledger_folder()
    verdict = await named(breakage.experiment).play(Run(folder, scale, seed, breakage.name))
    found = [problem for problem in (*verdict.lost, *verdict.duplicated) if re.search(breakage.symptom, problem)]
    if found:
        shutil.rmtree(folder)
    return Catch(breakage.name, breakage.experiment, found[0] if found else "")


async def catch_all(
    breakages: Sequence[Breakage], seed: int, say: Callable[[str], None], scale: float = SCALE
) -> list[Catch]:
    """Run all breakages, AT_ONCE in parallel, and report each to `say`."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(breakage: Breakage) -> Catch:
        async with places:
            caught = await catch(breakage, scale, seed)
            say(caught.line())
            return caught

    return list(await asyncio.gather(*(one(breakage) for breakage in breakages)))
