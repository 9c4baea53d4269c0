"""``ScoreResult`` under Opik's path."""

from opik_eval.metrics.base import ScoreResult

__all__ = ["ScoreResult"]
