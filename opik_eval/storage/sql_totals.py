"""Totals of experiments' scores, kept current by every write.

``score_totals`` has, for each experiment and score, what a summary shows: how many items have a
value, their sum, how many failed. Whatever changes items or scores says which ones beforehand
(``totals_kept``); what they contribute is counted before and after, and the difference is added.
Sums are exact, as fractions with a power of two below, so that no number of changes adds an error.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import cast

from opik_eval.records import ScoreSummary
from opik_eval.serialization import loads
from opik_eval.storage.sql_dialect import Database, Dialect, Row, Transaction

TOTALS_LOCK = "score totals"
"""The lock held by whoever changes items or scores."""

_Key = tuple[str, str]
_SELECT = "SELECT experiment_id, name, items, total, failed FROM score_totals"
_PRECISION = 1074
"""Every double is a whole multiple of 2 to the power of minus this."""


@dataclass
class Total:
    """What some items contribute to a score of an experiment.

    Attributes:
        items: Items with a value.
        scaled: Sum of the finite values, times 2 to the power of 1074.
        nans: Values that are NaN.
        rises: Values that are infinite.
        falls: Values that are minus infinity.
        failed: Items whose metric failed or gave no value.
    """

    items: int = 0
    scaled: int = 0
    nans: int = 0
    rises: int = 0
    falls: int = 0
    failed: int = 0

    def add_value(self, value: float, items: int = 1) -> None:
        """Count the value of one item, or of several that have the same."""
        self.items += items
        if math.isfinite(value):
            numerator, denominator = value.as_integer_ratio()
            self.scaled += items * numerator << _PRECISION + 1 - denominator.bit_length()
        elif math.isnan(value):
            self.nans += items
        elif value > 0:
            self.rises += items
        else:
            self.falls += items

    def add(self, other: Total, sign: int = 1) -> None:
        """Add another total, or take it away."""
        self.items += sign * other.items
        self.scaled += sign * other.scaled
        self.nans += sign * other.nans
        self.rises += sign * other.rises
        self.falls += sign * other.falls
        self.failed += sign * other.failed

    def mean(self) -> float | None:
        """Return the mean of the values; ``None`` if there are none."""
        if not self.items:
            return None
        if self.nans or (self.rises and self.falls):
            return math.nan
        if self.rises or self.falls:
            return math.inf if self.rises else -math.inf
        return self.scaled / (1 << _PRECISION) / self.items

    def text(self) -> str:
        """Return the sum as it is stored: digits, how many zeros follow them, the odd values."""
        zeros = (self.scaled & -self.scaled).bit_length() - 1 if self.scaled else 0
        return f"{self.scaled >> zeros:x} {zeros} {self.nans} {self.rises} {self.falls}"

    @classmethod
    def stored(cls, items: int, text: str, failed: int) -> Total:
        """Return the total that is stored like this."""
        digits, *counts = text.split(" ")
        zeros, nans, rises, falls = map(int, counts)
        return cls(items, int(digits, 16) << zeros, nans, rises, falls, failed)


@contextmanager
def totals_kept(
    transaction: Transaction,
    dialect: Dialect,
    *,
    item_ids: Sequence[str] = (),
    trace_ids: Sequence[str] = (),
    new: Mapping[_Key, Total] | None = None,
) -> Iterator[None]:
    """Keep the totals current over a block of changes.

    Args:
        transaction: What the changes are part of.
        dialect: That of the database.
        item_ids: Experiment items that may be written or deleted.
        trace_ids: Traces whose scores may be written or deleted.
        new: What the changes contribute if nothing of these items and traces is stored yet.
    """
    if not item_ids and not trace_ids:
        yield
        return
    transaction.lock(TOTALS_LOCK)
    items, traces = dialect.array(item_ids), dialect.array(trace_ids)
    if new is not None and not _is_any_stored(transaction, dialect, items, traces):
        yield
        _add(transaction, dialect, new)
        return
    before = _contributions(transaction, dialect, items, traces)
    yield
    after = _contributions(transaction, dialect, items, traces)
    for key, total in before.items():
        after.setdefault(key, Total()).add(total, -1)
    _add(transaction, dialect, {key: t for key, t in after.items() if any(astuple(t))})


def contributions_of(items: Sequence[Row], scores: Sequence[Row]) -> dict[_Key, Total] | None:
    """Return what rows contribute if nothing of their items and traces is stored.

    ``None`` if several are of the same item or score, so that they have to be merged first.

    Args:
        items: Of experiment items id, experiment, trace and names of failed scores.
        scores: Of scores of traces trace, name, author's key, value and the word ``trace``.
    """
    judgements = {row[:3] for row in scores}
    if len({row[0] for row in items}) < len(items) or len(judgements) < len(scores):
        return None
    values: dict[str, dict[str, list[float]]] = {}
    for trace_id, name, _, value, _ in scores:
        values.setdefault(trace_id, {}).setdefault(name, []).append(float(value))
    totals: defaultdict[_Key, Total] = defaultdict(Total)
    means: defaultdict[_Key, list[float]] = defaultdict(list)
    for _, experiment_id, trace_id, failed in items:
        for name, several in values.get(trace_id, {}).items():
            means[experiment_id, name].append(_mean(several))
        for name in cast("list[str]", loads(failed)) if failed else ():
            totals[experiment_id, name].failed += 1
    for key, found in means.items():
        for value, count in Counter(found).items():  # most scores take few values
            totals[key].add_value(value, count)
    return dict(totals)


def summarize(database: Database, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
    """Return what ``ExperimentStore.summarize_scores`` promises."""
    dialect = database.dialect
    rows = database.rows(
        f"{_SELECT} WHERE {dialect.within('experiment_id')} ORDER BY experiment_id, name",
        [dialect.array(experiment_ids)],
    )
    summaries = []
    for experiment_id, name, items, text, failed in rows:
        total = Total.stored(items, text, failed)
        summaries.append(
            ScoreSummary(
                experiment_id=cast("str", dialect.text(experiment_id)),
                name=cast("str", dialect.text(name)),
                count=items,
                mean=total.mean(),
                failed=failed,
            )
        )
    return summaries


def _contributions(
    transaction: Transaction, dialect: Dialect, item_ids: object, trace_ids: object
) -> dict[_Key, Total]:
    """Return what some items, and all items of some traces, contribute now."""
    select = "SELECT id, experiment_id, trace_id, failed_scores FROM experiment_items WHERE "
    text = dialect.text
    items: dict[str, tuple[str, str | None, str | None]] = {}
    for column, wanted in (("id", item_ids), ("trace_id", trace_ids)):
        for item_id, experiment_id, trace_id, failed in transaction.rows(
            select + dialect.within(column), [wanted]
        ):
            items[item_id] = cast("str", text(experiment_id)), cast("str", text(trace_id)), failed
    totals: dict[_Key, Total] = {}
    values = _values(
        transaction, dialect, [trace_id for _, trace_id, _ in items.values() if trace_id]
    )
    for experiment_id, trace_id, failed in items.values():
        for name, value in values.get(trace_id or "", {}).items():
            totals.setdefault((experiment_id, name), Total()).add_value(value)
        for name in cast("list[str]", loads(failed)) if failed else ():
            totals.setdefault((experiment_id, name), Total()).failed += 1
    return totals


def _is_any_stored(
    transaction: Transaction, dialect: Dialect, item_ids: object, trace_ids: object
) -> bool:
    """Tell whether some of these items, or any item or score of these traces, are stored."""
    found = transaction.rows(
        "SELECT 1 WHERE "
        f"EXISTS (SELECT 1 FROM experiment_items WHERE {dialect.within('id')}) "
        f"OR EXISTS (SELECT 1 FROM experiment_items WHERE {dialect.within('trace_id')}) "
        "OR EXISTS (SELECT 1 FROM feedback_scores "
        f"WHERE entity_type = 'trace' AND {dialect.within('entity_id')})",
        [item_ids, trace_ids, trace_ids],
    )
    return bool(found)


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)


def _values(
    transaction: Transaction, dialect: Dialect, trace_ids: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the scores of traces by name; of several authors their mean."""
    found: dict[str, dict[str, list[float]]] = {}
    if not trace_ids:
        return {}
    for trace_id, name, value in transaction.rows(
        "SELECT entity_id, name, value FROM feedback_scores WHERE entity_type = 'trace' AND "
        + dialect.within("entity_id"),
        [dialect.array(dict.fromkeys(trace_ids))],
    ):
        names = found.setdefault(cast("str", dialect.text(trace_id)), {})
        names.setdefault(cast("str", dialect.text(name)), []).append(float(value))
    return {
        trace_id: {name: _mean(values) for name, values in names.items()}
        for trace_id, names in found.items()
    }


def _add(transaction: Transaction, dialect: Dialect, changes: Mapping[_Key, Total]) -> None:
    if not changes:
        return
    experiments = dialect.array({experiment_id for experiment_id, _ in changes})
    known = {
        (dialect.text(experiment_id), dialect.text(name)): Total.stored(items, text, failed)
        for experiment_id, name, items, text, failed in transaction.rows(
            f"{_SELECT} WHERE {dialect.within('experiment_id')}", [experiments]
        )
    }
    gone: list[_Key] = []
    rows: list[Row] = []
    for key, change in changes.items():
        total = known.get(key, Total())
        total.add(change)
        if total.items or total.failed:
            rows.append((*key, total.items, total.text(), total.failed))
        else:
            gone.append(key)
    transaction.run_many("DELETE FROM score_totals WHERE experiment_id = ? AND name = ?", gone)
    transaction.run_many(_PUT, rows)


_PUT = (
    "INSERT INTO score_totals (experiment_id, name, items, total, failed) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (experiment_id, name) DO UPDATE SET "
    "items = excluded.items, total = excluded.total, failed = excluded.failed"
)
