"""``ParameterOptimizer`` passes the battery of all optimizers."""

from typing import Any

from opik_optimizer import ParameterOptimizer
from opik_optimizer.testing.optimizer_contract import OptimizerContract


class TestParameterOptimizer(OptimizerContract):
    """The battery, with the default space."""

    def make_optimizer(self, **options: Any) -> ParameterOptimizer:
        """Return the optimizer with its defaults."""
        return ParameterOptimizer(**options)
