"""Parameters of model calls, searched globally, then around the best."""

from opik_optimizer.algorithms.parameter.optimizer import ParameterOptimizer

__all__ = ["ParameterOptimizer"]
