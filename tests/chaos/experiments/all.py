"""Lists the experiments in the order of a full run."""

from chaos.experiments import (
    Experiment,
    duplicates,
    errors,
    executors,
    flush,
    letters,
    outage,
    redis,
    services,
    steps,
    zombies,
)

EXPERIMENTS: tuple[Experiment, ...] = (
    executors.EXPERIMENT,
    redis.EXPERIMENT,
    duplicates.EXPERIMENT,
    zombies.EXPERIMENT,
    services.EXPERIMENT,
    *steps.EXPERIMENTS,
    flush.EXPERIMENT,
    outage.EXPERIMENT,
    letters.EXPERIMENT,
    errors.EXPERIMENT,
)


def named(name: str) -> Experiment:
    """Return the experiment of this name."""
    return next(one for one in EXPERIMENTS if one.name == name)
