"""The smallest optimizer passes the battery."""

from __future__ import annotations

from opik_optimizer.testing.optimizer_contract import OptimizerContract
from opik_optimizer.testing.toy import ToyOptimizer


class TestToyOptimizer(OptimizerContract):
    """Random edits, raced."""

    def make_optimizer(self, **options):
        return ToyOptimizer(**options)


class TestReflectiveToyOptimizer(OptimizerContract):
    """The same, with every other edit written by the reflection model."""

    kill_points = 20

    def make_optimizer(self, **options):
        return ToyOptimizer(reflects=True, **options)
