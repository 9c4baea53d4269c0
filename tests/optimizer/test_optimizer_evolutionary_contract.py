"""``EvolutionaryOptimizer`` passes the battery of all optimizers, with and without a model."""

from typing import Any

from opik_optimizer import EvolutionaryOptimizer
from opik_optimizer.testing.optimizer_contract import OptimizerContract


class TestEvolutionaryOptimizer(OptimizerContract):
    """The battery, with the default settings."""

    def make_optimizer(self, **options: Any) -> EvolutionaryOptimizer:
        """Return the optimizer with its defaults."""
        return EvolutionaryOptimizer(**options)
