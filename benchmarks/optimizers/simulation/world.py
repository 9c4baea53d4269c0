"""All tasks of all families, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from benchmarks.optimizers.simulation.catalogue import SPECS, make_task
from benchmarks.optimizers.simulation.demonstrations import SHOTS, DemonstrationTask
from benchmarks.optimizers.simulation.surface import SURFACES, ParameterTask
from benchmarks.optimizers.simulation.task import Meter, Prompts, Record

NAMES = (*SPECS, *SHOTS, *SURFACES)


class World(Protocol):
    """What the comparison needs of a task; of its truth the contestants see nothing."""

    meter: Meter
    train: Sequence[Record]
    validation: Sequence[Record]

    @property
    def seed_prompts(self) -> dict[str, str]:
        """The prompts to start from."""
        ...

    def answer(self, prompts: Prompts, item: Mapping[str, object]) -> str:
        """Return the simulated model's output."""
        ...

    def metric(self, item: Mapping[str, object], output: object) -> tuple[float, str]:
        """Return score and reason."""
        ...

    def true_score(self, prompts: Prompts) -> float:
        """Return the expected score, free of noise."""
        ...

    def ratio(self, prompts: Prompts) -> float:
        """Return the share of the possible gain."""
        ...

    def is_seed(self, prompts: Prompts) -> bool:
        """Tell whether prompts are the ones to start from."""
        ...


def make_world(name: str, *, seed: int) -> World:
    """Return a world of a task of any family.

    Raises:
        KeyError: There is no such task.
    """
    if name in SHOTS:
        return DemonstrationTask(name, SHOTS[name], seed=seed)
    if name in SURFACES:
        return ParameterTask(name, SURFACES[name], seed=seed)
    return make_task(name, seed=seed)
