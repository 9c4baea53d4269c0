"""Results of evaluations: statistics, storage, comparison, display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.experiments.aggregate import ScoreStatistics
    from opik_eval.experiments.case import TestCase, TestResult
    from opik_eval.experiments.changes import ItemChange
    from opik_eval.experiments.comparison import Comparison, compare
    from opik_eval.experiments.experiment import (
        Experiment,
        ExperimentItemContent,
        ExperimentItemReferences,
    )
    from opik_eval.experiments.loading import get_experiment, load_result
    from opik_eval.experiments.render import (
        comparison_html,
        comparison_text,
        result_html,
        result_text,
    )
    from opik_eval.experiments.result import (
        DatasetItemResults,
        EvaluationResult,
        EvaluationResultAggregatedScoresView,
        EvaluationResultGroupByDatasetItemsView,
        EvaluationResultOnDictItems,
    )
    from opik_eval.experiments.rows import MetricComparison
    from opik_eval.experiments.totals import RunTotals, run_totals

_HOME = {
    "Comparison": "comparison",
    "DatasetItemResults": "result",
    "EvaluationResult": "result",
    "EvaluationResultAggregatedScoresView": "result",
    "EvaluationResultGroupByDatasetItemsView": "result",
    "EvaluationResultOnDictItems": "result",
    "Experiment": "experiment",
    "ExperimentItemContent": "experiment",
    "ExperimentItemReferences": "experiment",
    "ItemChange": "changes",
    "MetricComparison": "rows",
    "RunTotals": "totals",
    "ScoreStatistics": "aggregate",
    "TestCase": "case",
    "TestResult": "case",
    "compare": "comparison",
    "comparison_html": "render",
    "comparison_text": "render",
    "get_experiment": "loading",
    "load_result": "loading",
    "result_html": "render",
    "result_text": "render",
    "run_totals": "totals",
}

__all__ = [
    "Comparison",
    "DatasetItemResults",
    "EvaluationResult",
    "EvaluationResultAggregatedScoresView",
    "EvaluationResultGroupByDatasetItemsView",
    "EvaluationResultOnDictItems",
    "Experiment",
    "ExperimentItemContent",
    "ExperimentItemReferences",
    "ItemChange",
    "MetricComparison",
    "RunTotals",
    "ScoreStatistics",
    "TestCase",
    "TestResult",
    "compare",
    "comparison_html",
    "comparison_text",
    "get_experiment",
    "load_result",
    "result_html",
    "result_text",
    "run_totals",
]

__getattr__, __dir__ = lazily(__name__, _HOME)
