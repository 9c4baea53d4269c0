"""GEPA: reflective evolution on per-instance fronts (arXiv 2507.19457)."""

from opik_optimizer.algorithms.gepa.optimizer import GepaOptimizer

__all__ = ["GepaOptimizer"]
