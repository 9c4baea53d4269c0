"""``BaseMetric`` under Opik's path."""

from opik_eval.metrics.base import BaseMetric

__all__ = ["BaseMetric"]
