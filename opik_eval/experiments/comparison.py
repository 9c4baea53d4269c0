"""Two runs side by side, item by item: is the difference real, and where is it?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opik_eval.errors import ConfigError
from opik_eval.experiments.changes import ItemChange, changes_between
from opik_eval.experiments.loading import load_result
from opik_eval.experiments.pairing import Pairing, items_of, pair_items
from opik_eval.experiments.result import EvaluationResult
from opik_eval.experiments.rows import (
    Level,
    MetricComparison,
    compared_rows,
    error_column,
    missing_column,
    value_column,
)
from opik_eval.experiments.totals import RunTotals, run_totals
from opik_eval.statistics.paired import PairedComparison
from opik_eval.storage.base import Storage

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-9  # .85 - .83 is more than .02 by 2e-17


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Run B against run A.

    Attributes:
        name_a: Name of the baseline.
        name_b: Name of the candidate.
        metrics: Row by metric.
        missing: Rows for the share of task errors and of results without a value, where there are
            any. Fewer is better.
        worse: Changes for the worse: new errors first, then the largest drops.
        better: Changes for the better, the largest first.
        pairing: Which items were compared.
        totals_a: Tokens, cost and time of A.
        totals_b: The same of B.
        seconds_a: Wall time of A.
        seconds_b: Wall time of B.
        confidence: Coverage of the intervals.
        alpha: Level of the verdicts.
        warnings: What limits the comparison.
    """

    name_a: str
    name_b: str
    metrics: dict[str, MetricComparison]
    missing: dict[str, MetricComparison]
    worse: tuple[ItemChange, ...] = field(repr=False)
    better: tuple[ItemChange, ...] = field(repr=False)
    pairing: Pairing = field(repr=False)
    totals_a: RunTotals
    totals_b: RunTotals
    seconds_a: float | None
    seconds_b: float | None
    confidence: float
    alpha: float
    warnings: tuple[str, ...]

    @property
    def newly_failing(self) -> tuple[ItemChange, ...]:
        """Changes from right to wrong, new task errors included."""
        return tuple(change for change in self.worse if change.flipped)

    @property
    def newly_passing(self) -> tuple[ItemChange, ...]:
        """Changes from wrong to right."""
        return tuple(change for change in self.better if change.flipped)

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as plain JSON types; not finite numbers become ``None``."""
        return {
            "a": {"name": self.name_a, "seconds": self.seconds_a, **_plain(self.totals_a)},
            "b": {"name": self.name_b, "seconds": self.seconds_b, **_plain(self.totals_b)},
            "confidence": self.confidence,
            "alpha": self.alpha,
            "paired_items": len(self.pairing.pairs),
            "only_in_a": self.pairing.only_in_a,
            "only_in_b": self.pairing.only_in_b,
            "metrics": [_row(row) for row in self.metrics.values()],
            "missing": [_row(row) for row in self.missing.values()],
            "worse": [_change_row(change) for change in self.worse],
            "better": [_change_row(change) for change in self.better],
            "warnings": list(self.warnings),
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per metric and share of missing results."""
        import pandas as pd

        return pd.DataFrame([_row(row) for row in (*self.metrics.values(), *self.missing.values())])

    def assert_no_regression(
        self,
        *,
        margin: float | Mapping[str, float],
        metrics: Sequence[str] | None = None,
        proven: bool = True,
    ) -> None:
        """Fail unless B is shown to be no worse than A by more than ``margin``.

        A metric passes if the worse end of its interval stays within the margin (non-inferiority),
        so too few items fail just as a regression does. Task errors and missing values fail if
        their share is significantly higher in B.

        Where these items are all that counts, such as a fixed list of cases, pass ``proven=False``:
        then the difference itself must stay within the margin, and so must the rise of each share.

        Args:
            margin: Largest acceptable loss, in the metric's own unit; one number, or one by metric.
            metrics: Metrics to check; all that have a direction if absent.
            proven: Whether the interval has to rule out a larger loss for items like these.

        Raises:
            AssertionError: B may be worse; the text has the table and the reasons.
            ConfigError: A metric is unknown, has no direction, or has no margin.
        """
        __tracebackhide__ = True  # pytest shows the caller
        rows = self._checkable(metrics)
        reasons = [_regression(row, _margin_of(margin, row.metric), proven) for row in rows]
        reasons += [
            f"{row.metric}: share rose from {row.paired.mean_a:.3g} to {row.paired.mean_b:.3g}"
            for row in self.missing.values()
            if (row.verdict == "worse" if proven else row.paired.difference > _rise_in(margin, row))
        ]
        found = [reason for reason in reasons if reason is not None]
        if not rows:
            found.append("there is no metric to check")
        if found:
            raise AssertionError("\n".join([*found, "", self._text()]))

    def _checkable(self, names: Sequence[str] | None) -> list[MetricComparison]:
        if names is None:
            return [row for row in self.metrics.values() if row.higher_is_better is not None]
        rows = [self.metrics[name] for name in _known(names, self.metrics)]
        for row in rows:
            if row.higher_is_better is None:
                raise ConfigError(
                    f"metric {row.metric!r} has no better direction, so it cannot regress",
                    remedy="set higher_is_better on the metric, or leave it out",
                )
        return rows

    def _text(self) -> str:
        from opik_eval.experiments.render import comparison_text

        return comparison_text(self, ascii_only=True)

    def _repr_html_(self) -> str:
        from opik_eval.experiments.render import comparison_html

        return comparison_html(self)


def compare(
    a: EvaluationResult | str,
    b: EvaluationResult | str,
    *,
    storage: Storage | None = None,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    alpha: float = 0.05,
) -> Comparison:
    """Compare run B with run A over the items that both have.

    Items are paired by id, else by content; trials of an item are averaged first; every metric gets
    a paired test, and p-values are adjusted by Holm's method over the metrics.

    Args:
        a: The baseline: a result, or id or name of an experiment in ``storage``.
        b: The candidate.
        storage: Where to find experiments that are given by id or name.
        metrics: Metrics to compare; all if absent. Fewer metrics need less adjustment.
        confidence: Coverage of the intervals, in (0, 1).
        alpha: Level of the verdicts, in (0, 1).

    Raises:
        ConfigError: A metric is unknown, or an id is given without storage.
        NotFoundError: There is no such experiment.

    Example:
        >>> from opik_eval.experiments.result import EvaluationResult, TestCase, TestResult
        >>> from opik_eval.metrics.base import ScoreResult
        >>> def run(name, values):
        ...     cases = [TestCase(None, f"item-{i}", {}) for i in range(len(values))]
        ...     scores = [[ScoreResult("correct", value)] for value in values]
        ...     results = [TestResult(c, s, trial_id=0) for c, s in zip(cases, scores)]
        ...     return EvaluationResult(name, None, name, results)
        >>> comparison = compare(run("old", [0.0] * 8), run("new", [1.0] * 8))
        >>> comparison.metrics["correct"].verdict
        'better'
    """
    run_a, run_b = _loaded(a, storage), _loaded(b, storage)
    items_a, items_b = items_of(run_a.test_results), items_of(run_b.test_results)
    pairing = pair_items(items_a, items_b)
    directions = {**run_a.higher_is_better, **run_b.higher_is_better}
    names = dict.fromkeys(
        name for items in (items_a, items_b) for runs in items.values() for name in runs.missing
    )
    chosen = list(names) if metrics is None else _known(metrics, names)
    toward = {name: directions.get(name, True) for name in chosen}
    level = Level(confidence, alpha)
    rows = compared_rows(pairing.pairs, [value_column(m, toward[m]) for m in chosen], level)
    shares = [error_column(), *(missing_column(m) for m in chosen)]
    missing = compared_rows(pairing.pairs, shares, level, skip_zeros=True)
    worse, better = changes_between(pairing.pairs, toward)
    return Comparison(
        name_a=run_a.experiment_name or run_a.experiment_id,
        name_b=run_b.experiment_name or run_b.experiment_id,
        metrics=rows,
        missing=missing,
        worse=worse,
        better=better,
        pairing=pairing,
        totals_a=run_totals(run_a.test_results),
        totals_b=run_totals(run_b.test_results),
        seconds_a=run_a.total_seconds,
        seconds_b=run_b.total_seconds,
        confidence=confidence,
        alpha=alpha,
        warnings=tuple(_warnings(run_a, run_b, pairing)),
    )


def _loaded(run: EvaluationResult | str, storage: Storage | None) -> EvaluationResult:
    if isinstance(run, EvaluationResult):
        return run
    if storage is None:
        raise ConfigError(
            f"the run {run!r} is given by name, but no storage to find it in",
            remedy="pass storage=open_storage(...), or an EvaluationResult",
        )
    return load_result(storage, run)


def _known(wanted: Sequence[str], available: Iterable[str]) -> list[str]:
    known = set(available)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"neither run has a metric {name!r}", remedy=f"choose from {sorted(known)}"
            )
    return list(dict.fromkeys(wanted))


def _warnings(a: EvaluationResult, b: EvaluationResult, pairing: Pairing) -> Iterator[str]:
    for label, run in (("A", a), ("B", b)):
        if run.status != "completed":
            yield f"{label} is {run.status}" + (f": {run.stop_reason}" if run.stop_reason else "")
    if not pairing.pairs:
        yield "the runs have no item in common"
    if pairing.by_content:
        yield f"{pairing.by_content} items have different ids and were paired by content"
    if pairing.changed:
        yield f"{pairing.changed} items have the same id but different content"
    if pairing.only_in_a or pairing.only_in_b:
        yield f"items without partner: {pairing.only_in_a} in A, {pairing.only_in_b} in B"


def _margin_of(
    margin: float | Mapping[str, float], metric: str, default: float | None = None
) -> float:
    allowed = margin.get(metric, default) if isinstance(margin, Mapping) else margin
    if not isinstance(allowed, int | float) or not allowed >= 0:
        raise ConfigError(
            f"metric {metric!r} needs a margin of 0 or more, not {allowed!r}",
            remedy=f"pass margin={{{metric!r}: 0.02}} with the largest loss you accept",
        )
    return float(allowed)


def _rise_in(margin: float | Mapping[str, float], share: MetricComparison) -> float:
    return _margin_of(margin, share.metric, default=0.0) + _ROUNDING


def _regression(row: MetricComparison, margin: float, proven: bool) -> str | None:
    paired = row.paired
    if paired.n == 0:
        return f"{row.metric}: no item has a value in both runs"
    low, high = (paired.low, paired.high) if proven else (paired.difference, paired.difference)
    loss = -low if row.higher_is_better else high
    if loss <= margin + _ROUNDING:
        return None
    change = f"{paired.difference:+.3g} [{paired.low:.3g}, {paired.high:.3g}]"
    verb = "may be" if proven else "is"
    return f"{row.metric}: {change} {verb} a loss of more than {margin:g} (n={paired.n})"


def _row(row: MetricComparison) -> dict[str, object]:
    flat = _plain(row)
    del flat["paired"]
    return {**flat, **_plain(row.paired), "verdict": row.verdict}


def _change_row(change: ItemChange) -> dict[str, object]:
    return {
        "dataset_item_id": change.dataset_item_id,
        "metric": change.metric,
        "before": change.before,
        "after": change.after,
        "flipped": change.flipped,
    }


def _plain(record: MetricComparison | PairedComparison | RunTotals) -> dict[str, object]:
    fields = ((f.name, getattr(record, f.name)) for f in dataclasses.fields(record))
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields}
