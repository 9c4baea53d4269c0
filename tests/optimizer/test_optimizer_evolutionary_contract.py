"""``EvolutionaryOptimizer`` passes the battery of all optimizers, with and without a model."""

from typing import Any

from opik_optimizer import EvolutionaryOptimizer
from opik_optimizer.testing.optimizer_contract import (
    BudgetContract,
    OptimizerContract,
    RepeatContract,
)


class TestEvolutionaryOptimizer(OptimizerContract):
    """The battery, with the default settings."""

    kill_points = 50

    def make_optimizer(self, **options: Any) -> EvolutionaryOptimizer:
        """Return the optimizer with its defaults."""
        return EvolutionaryOptimizer(**options)


class TestWithoutAModel(BudgetContract, RepeatContract):
    """What depends on the operators, with those alone that need no model."""

    def make_optimizer(self, **options: Any) -> EvolutionaryOptimizer:
        """Return the optimizer without operators that ask a model."""
        return EvolutionaryOptimizer(
            **{"enable_llm_mutation": False, "enable_llm_crossover": False, **options}
        )
