"""The parameters of ``EvolutionaryOptimizer``, and what the budget makes of those left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opik_optimizer.errors import SettingsError

if TYPE_CHECKING:
    from opik_optimizer.session import Session

_SMALLEST, _LARGEST = 3, 30
_UNLIMITED_POPULATION, _UNLIMITED_GENERATIONS = 10, 15
_TRIALS_FOR_BROODS = 60


@dataclass(frozen=True, kw_only=True)
class EvolutionaryOptions:
    """The algorithm's own parameters; see ``EvolutionaryOptimizer``."""

    population_size: int | None = None
    num_generations: int | None = None
    mutation_rate: float = 0.7
    crossover_rate: float = 0.3
    tournament_size: int = 4
    elitism_size: int = 2
    brood_size: int | None = None
    screening_size: int = 8
    adaptive_mutation: bool = True
    enable_moo: bool = True
    enable_llm_mutation: bool = True
    enable_llm_crossover: bool = True
    enable_semantic_crossover: bool = False
    output_style_guidance: str | None = None
    infer_output_style: bool = False
    no_improvement_generations: int | None = None

    def __post_init__(self) -> None:
        least = {
            "population_size": 2,
            "num_generations": 1,
            "tournament_size": 1,
            "elitism_size": 0,
            "brood_size": 1,
            "screening_size": 1,
            "no_improvement_generations": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is None and getattr(EvolutionaryOptions, name) is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < bound:
                raise SettingsError(f"{name}={value!r} must be a whole number of at least {bound}")
        for name in ("mutation_rate", "crossover_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name}={getattr(self, name)!r} must lie in 0 .. 1")
        if self.mutation_rate + self.crossover_rate == 0:
            raise SettingsError(
                "mutation_rate and crossover_rate are both 0",
                remedy="without either there is nothing to evaluate",
            )


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a search is.

    Attributes:
        population: Members that survive a generation, and proposals of one.
        generations: When to end; ``None`` = when the budget is spent.
        brood: Siblings that are screened before one of them races.
        screening: Train items that a child is screened on.
    """

    population: int
    generations: int | None
    brood: int
    screening: int

    @classmethod
    def of(cls, options: EvolutionaryOptions, session: Session) -> Scale:
        """Derive what the options leave open from the budget: sqrt(affordable) survivors.

        With n affordable candidates that makes about sqrt(n) generations of sqrt(n) proposals.
        """
        left = session.remaining
        screening = session.settings.n_samples_minibatch or options.screening_size
        brood = options.brood_size
        if brood is None:
            brood = 2 if left.trials is None or left.trials >= _TRIALS_FOR_BROODS else 1
        affordable = math.inf
        if left.trials is not None:
            affordable = left.trials / brood
        if left.metric_calls is not None:
            one = len(session.validation_ids) + (1 + brood) * screening
            affordable = min(affordable, left.metric_calls / one)
        generations = options.num_generations
        if affordable == math.inf:
            population = _UNLIMITED_POPULATION
            generations = generations or _UNLIMITED_GENERATIONS
        else:
            population = min(max(math.ceil(math.sqrt(affordable)), _SMALLEST), _LARGEST)
        return cls(
            population=options.population_size or population,
            generations=generations,
            brood=brood,
            screening=screening,
        )
