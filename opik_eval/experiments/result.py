"""What an evaluation returns: test results in dataset order, and views of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opik_eval.errors import ConfigError
from opik_eval.experiments.aggregate import ScoreStatistics, score_statistics
from opik_eval.experiments.case import (
    TestCase,
    TestResult,
    flat_row,
    result_from_row,
    row_of,
    score_from,
)
from opik_eval.experiments.document import read_document, write_document
from opik_eval.metrics.base import ScoreResult
from opik_eval.statistics.reducers import Reducer
from opik_eval.statistics.reducers import reducer as reducer_named
from opik_eval.storage.base import FlushReport

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True)
class DatasetItemResults:
    """All trials of one item, ordered by ``trial_id``."""

    test_results: list[TestResult]
    higher_is_better: dict[str, bool | None] = field(default_factory=dict, repr=False)

    @property
    def scores(self) -> dict[str, ScoreStatistics]:
        """Statistics over the trials, by metric; computed on access."""
        return _statistics_of(self.test_results, self.higher_is_better)


@dataclass(slots=True, kw_only=True)
class EvaluationResultAggregatedScoresView:
    """A result with its scores over all items, by metric."""

    experiment_id: str
    dataset_id: str | None
    experiment_name: str | None
    test_results: list[TestResult] = field(repr=False)
    aggregated_scores: dict[str, ScoreStatistics]
    experiment_url: str | None = None
    trial_count: int = 1


@dataclass(slots=True, kw_only=True)
class EvaluationResultGroupByDatasetItemsView:
    """A result by dataset item."""

    experiment_id: str
    dataset_id: str | None
    experiment_name: str | None
    dataset_items: dict[str, DatasetItemResults] = field(repr=False)
    experiment_url: str | None = None
    trial_count: int = 1


@dataclass(slots=True)
class EvaluationResultOnDictItems:
    """The result of an evaluation on plain dicts, without dataset and experiment."""

    test_results: list[TestResult]
    higher_is_better: dict[str, bool | None] = field(default_factory=dict, repr=False)

    def aggregate_evaluation_scores(self) -> dict[str, ScoreStatistics]:
        """Return the statistics of every metric, by name."""
        return _statistics_of(self.test_results, self.higher_is_better)


@dataclass(slots=True, repr=False)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        experiment_id: The experiment in the store.
        dataset_id: Its dataset.
        experiment_name: Its name.
        test_results: One per (item, trial): items in dataset order, trials side by side.
        experiment_url: Where to look at it, if the store has pages.
        trial_count: Trials per item.
        experiment_scores: Scores of the experiment as a whole.
        status: ``completed``, ``stopped`` (by a limit or the user) or ``failed``.
        stop_reason: Why it stopped, in words.
        total_seconds: Wall time of the run.
        flush: What became of the writes to the store.
        storage_location: The store, in the form ``open_storage`` takes.
        warnings: What the user should know about this run.
        reused_items: Results taken over from an earlier, interrupted run.
        higher_is_better: Direction by metric; higher is better for names that are not in it.

    Example:
        >>> case = TestCase(trace_id=None, dataset_item_id="i1", task_output={"output": "4"})
        >>> result = EvaluationResult(
        ...     "e1", "d1", "demo", [TestResult(case, [ScoreResult("correct", 1.0)], trial_id=0)]
        ... )
        >>> scores = result.aggregate_evaluation_scores().aggregated_scores["correct"]
        >>> f"{scores.mean} [{scores.interval_low:.2f}, {scores.interval_high:.2f}], n={scores.n}"
        '1.0 [0.21, 1.00], n=1'
    """

    experiment_id: str
    dataset_id: str | None
    experiment_name: str | None
    test_results: list[TestResult]
    experiment_url: str | None = None
    trial_count: int = 1
    experiment_scores: list[ScoreResult] = field(default_factory=list)
    status: str = "completed"
    stop_reason: str | None = None
    total_seconds: float | None = None
    flush: FlushReport | None = None
    storage_location: str | None = None
    warnings: list[str] = field(default_factory=list)
    reused_items: int = 0
    higher_is_better: dict[str, bool | None] = field(default_factory=dict)

    @property
    def task_errors(self) -> int:
        """Number of results whose task raised; they have no scores."""
        return sum(result.error is not None for result in self.test_results)

    def aggregate_evaluation_scores(
        self, *, reducer: str | Reducer | None = None
    ) -> EvaluationResultAggregatedScoresView:
        """Return the result with the statistics of every metric.

        Args:
            reducer: Makes one value of an item's trials first, such as ``"pass@3"``; see
                ``opik_eval.statistics.reducer``.

        Raises:
            ConfigError: There is no such reducer, or it needs more trials than any item has.
        """
        chosen = reducer_named(reducer) if isinstance(reducer, str) else reducer
        return EvaluationResultAggregatedScoresView(
            experiment_id=self.experiment_id,
            dataset_id=self.dataset_id,
            experiment_name=self.experiment_name,
            test_results=self.test_results,
            aggregated_scores=_statistics_of(self.test_results, self.higher_is_better, chosen),
            experiment_url=self.experiment_url,
            trial_count=self.trial_count,
        )

    def group_by_dataset_item_view(self) -> EvaluationResultGroupByDatasetItemsView:
        """Return the results by item, in dataset order, with the trials of each in order."""
        groups: dict[str, list[TestResult]] = {}
        for result in self.test_results:
            groups.setdefault(result.test_case.dataset_item_id, []).append(result)
        return EvaluationResultGroupByDatasetItemsView(
            experiment_id=self.experiment_id,
            dataset_id=self.dataset_id,
            experiment_name=self.experiment_name,
            dataset_items={
                item: DatasetItemResults(
                    sorted(trials, key=lambda result: result.trial_id), self.higher_is_better
                )
                for item, trials in groups.items()
            },
            experiment_url=self.experiment_url,
            trial_count=self.trial_count,
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per result.

        Columns: ids, ``item.*``, ``output.*``, ``score.*`` (NaN where there is no value),
        ``reason.*``, ``failed.*``, ``tokens.*`` and ``cost_usd.*`` of metrics that call models,
        ``error``, and the task's seconds and cost.
        """
        import pandas as pd

        return pd.DataFrame([flat_row(result) for result in self.test_results])

    def save(self, path: str | Path) -> Path:
        """Write the result to a JSON file that ``load`` reads, and return its path.

        The file is complete or absent, whatever happens. What JSON does not know becomes text, by
        the rules of ``opik_eval.serialization``.
        """
        target = Path(path)
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        rows = own.pop("test_results")
        write_document(target, own, map(row_of, rows))
        return target

    @classmethod
    def load(cls, path: str | Path) -> EvaluationResult:
        """Read a result that ``save`` wrote.

        Raises:
            NotFoundError: There is no such file.
            ConfigError: The file is something else.
            SchemaVersionError: It was written by a newer version of this package.
        """
        header, rows = read_document(Path(path))
        try:
            flush = header.pop("flush", None)
            if flush is not None:
                flush = FlushReport(**{**flush, "rejected": tuple(flush["rejected"])})
            scores = [score_from(raw) for raw in header.pop("experiment_scores")]
            results = [result_from_row(row) for row in rows]
            return cls(**header, test_results=results, experiment_scores=scores, flush=flush)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path} is damaged: {error}") from error

    def __repr__(self) -> str:
        means = "".join(
            f", {name}={part.mean:.4g}"
            for name, part in _statistics_of(self.test_results, self.higher_is_better).items()
        )
        return (
            f"EvaluationResult({self.experiment_name or self.experiment_id!r}, "
            f"results={len(self.test_results)}, task_errors={self.task_errors}{means})"
        )

    def _repr_html_(self) -> str:
        from opik_eval.experiments.render import result_html

        return result_html(self)


def _statistics_of(
    results: Sequence[TestResult],
    higher_is_better: Mapping[str, bool | None],
    reducer: Reducer | None = None,
) -> dict[str, ScoreStatistics]:
    return score_statistics(
        ((result.test_case.dataset_item_id, result.score_results) for result in results),
        higher_is_better=higher_is_better,
        reducer=reducer,
    )


__all__ = [
    "DatasetItemResults",
    "EvaluationResult",
    "EvaluationResultAggregatedScoresView",
    "EvaluationResultGroupByDatasetItemsView",
    "EvaluationResultOnDictItems",
    "ScoreStatistics",
    "TestCase",
    "TestResult",
]
