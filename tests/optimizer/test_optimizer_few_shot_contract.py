"""``FewShotBayesianOptimizer`` passes the battery of all optimizers."""

from typing import Any, ClassVar

from opik_optimizer import FewShotBayesianOptimizer
from opik_optimizer.testing.optimizer_contract import OptimizerContract


class TestFewShotBayesianOptimizer(OptimizerContract):
    """The battery, with demonstrations as messages and as text."""

    kill_points = 50
    options: ClassVar[dict[str, Any]] = {"optimize_prompts": "all"}

    def make_optimizer(self, **options: Any) -> FewShotBayesianOptimizer:
        """Return the optimizer with its defaults."""
        return FewShotBayesianOptimizer(**options)
