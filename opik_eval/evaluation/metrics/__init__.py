"""Metrics and judges under the path that scripts written for Opik import them from."""

from opik_eval.evaluation.metrics import base_metric, score_result
from opik_eval.judges import GEval
from opik_eval.metrics import (
    BaseMetric,
    Contains,
    Equals,
    ExactMatch,
    IsJson,
    JsonSchema,
    LevenshteinRatio,
    NumericMatch,
    RegexMatch,
    ScoreResult,
    TokenF1,
)

__all__ = [
    "BaseMetric",
    "Contains",
    "Equals",
    "ExactMatch",
    "GEval",
    "IsJson",
    "JsonSchema",
    "LevenshteinRatio",
    "NumericMatch",
    "RegexMatch",
    "ScoreResult",
    "TokenF1",
    "base_metric",
    "score_result",
]
