"""Demonstrations chosen by Bayesian optimization over what describes a set of them."""

from opik_optimizer.algorithms.few_shot_bayesian.optimizer import FewShotBayesianOptimizer

__all__ = ["FewShotBayesianOptimizer"]
