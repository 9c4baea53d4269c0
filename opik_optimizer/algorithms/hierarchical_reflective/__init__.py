"""Hierarchical reflection: from failures to root causes to failure modes to targeted edits."""

from opik_optimizer.algorithms.hierarchical_reflective.optimizer import (
    HRPO,
    HierarchicalReflectiveOptimizer,
)

__all__ = ["HRPO", "HierarchicalReflectiveOptimizer"]
