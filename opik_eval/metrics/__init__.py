"""Metrics: ready-made ones, and the base of your own.

Names are resolved on first use, so that importing this package loads none of the metrics. To add a
metric, name its module in ``_HOME`` (and in the block for type checkers above it).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from opik_eval.metrics.base import BaseMetric, ScoreResult

if TYPE_CHECKING:
    from opik_eval.metrics.exact import Contains, Equals, ExactMatch, RegexMatch
    from opik_eval.metrics.function import FunctionMetric, as_metric
    from opik_eval.metrics.numeric import NumericMatch
    from opik_eval.metrics.overlap import TokenF1
    from opik_eval.metrics.registry import get_metric, list_metrics
    from opik_eval.metrics.structure import IsJson, JsonSchema
    from opik_eval.metrics.text_distance import LevenshteinRatio

_HOME = {
    "Contains": "exact",
    "Equals": "exact",
    "ExactMatch": "exact",
    "FunctionMetric": "function",
    "IsJson": "structure",
    "JsonSchema": "structure",
    "LevenshteinRatio": "text_distance",
    "NumericMatch": "numeric",
    "RegexMatch": "exact",
    "TokenF1": "overlap",
    "as_metric": "function",
    "get_metric": "registry",
    "list_metrics": "registry",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "BaseMetric",
    "Contains",
    "Equals",
    "ExactMatch",
    "FunctionMetric",
    "IsJson",
    "JsonSchema",
    "LevenshteinRatio",
    "NumericMatch",
    "RegexMatch",
    "ScoreResult",
    "TokenF1",
    "as_metric",
    "get_metric",
    "list_metrics",
]
