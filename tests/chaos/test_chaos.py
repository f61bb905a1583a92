"""Short runs of some experiments. `make chaos` runs all of them at full length."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.catching import catch_all
from chaos.experiments import Run
from chaos.experiments.all import EXPERIMENTS, named
from chaos.experiments.steps import ACCEPTING, FINISHING
from chaos.ledger import ledger_folder
from chaos.sabotage import BREAKAGES
from chaos.steps import find

SCALE = 0.004
SEED = 7
SHORT = ("executors", "duplicates", "zombies", "services", "flush")
BROKEN = ("no fencing", "deleted before stored")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the environment that the auditor changes."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Create a folder that functions see, unlike pytest's below /tmp."""
    made = ledger_folder()
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("name", SHORT)
async def test_nothing_accepted_is_lost_and_nothing_ends_twice(name: str, folder: Path) -> None:
    verdict = await named(name).play(Run(folder, SCALE, SEED))

    assert (verdict.lost, verdict.duplicated) == ([], [])
    assert verdict.faults > 0
    assert verdict.accepted == verdict.finished + verdict.dead_lettered - verdict.ambiguous


async def test_what_is_broken_on_purpose_is_noticed() -> None:
    broken = [one for one in BREAKAGES if one.name in BROKEN]

    caught = await catch_all(broken, SEED, lambda _: None, SCALE)

    assert [one.breakage for one in caught if not one.found] == []


def test_every_breakage_names_an_experiment() -> None:
    names = {one.name for one in EXPERIMENTS}

    assert {one.experiment for one in BREAKAGES} <= names
    assert len({one.name for one in BREAKAGES}) == len(BREAKAGES) >= 10


def test_every_step_names_a_method_of_the_product() -> None:
    for _, where in {**ACCEPTING, **FINISHING}.values():
        find(where)
