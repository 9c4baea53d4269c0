"""Evolution of prompts: selection, crossover where parents differ, mutations of several kinds."""

from opik_optimizer.algorithms.evolutionary.optimizer import EvolutionaryOptimizer

__all__ = ["EvolutionaryOptimizer"]
