"""Resuming: which units of an earlier run stand, which are scored again, which run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from opik_eval.engine.fingerprint import unit_key
from opik_eval.engine.units import WorkUnit
from opik_eval.records import DatasetItem, ExperimentItem
from opik_eval.storage.items import item_hash


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left, by dataset item and key: items of equal content are not the same.

    Attributes:
        complete: Task and metrics done; reused as they are.
        unscored: Task done, metrics missing, failed or changed; scored again.
        failed: Items whose task failed; run again. What other programs have put into the
            experiment is in none of these: it is left alone.
    """

    complete: dict[tuple[str, str], ExperimentItem] = field(default_factory=dict)
    unscored: dict[tuple[str, str], ExperimentItem] = field(default_factory=dict)
    failed: list[ExperimentItem] = field(default_factory=list)


def sort_out(items: Iterable[ExperimentItem], *, metrics_key: str) -> Earlier:
    """Sort the stored items of an experiment by what is left to do."""
    earlier = Earlier()
    for item in items:
        key, _, metrics = (item.resume_key or "").partition(":")
        if not key:
            continue
        if item.error_info is not None or item.output is None:
            earlier.failed.append(item)
        elif metrics == metrics_key and not any(s.scoring_failed for s in item.scores or ()):
            earlier.complete[item.dataset_item_id, key] = item
        else:
            earlier.unscored[item.dataset_item_id, key] = item
    return earlier


def plan_units(items: Iterable[DatasetItem], *, task: str, trial_count: int) -> Iterator[WorkUnit]:
    """Yield the units of a run: items in order, the trials of an item side by side.

    Args:
        items: What to evaluate.
        task: Fingerprint of the task.
        trial_count: Runs per item.
    """
    index = 0
    for item in items:
        content = item.content_hash or item_hash(item)
        row = {"id": item.id, **item.data}
        for trial in range(trial_count):
            yield WorkUnit(
                index=index,
                item=row,
                dataset_item=item,
                trial=trial,
                key=unit_key(content, task, trial),
            )
            index += 1


def skip_done(
    units: Iterable[WorkUnit], earlier: Earlier
) -> tuple[list[WorkUnit], list[tuple[WorkUnit, ExperimentItem]]]:
    """Divide units into those to run (with stored outputs to score again) and those that stand."""
    to_run: list[WorkUnit] = []
    standing: list[tuple[WorkUnit, ExperimentItem]] = []
    for unit in units:
        place = (unit.dataset_item.id, unit.key)
        if done := earlier.complete.get(place):
            standing.append((unit, done))
        elif stored := earlier.unscored.get(place):
            to_run.append(replace(unit, stored=_without_failures(stored)))
        else:
            to_run.append(unit)
    return to_run, standing


def _without_failures(item: ExperimentItem) -> ExperimentItem:
    """Drop failed scores: a metric may name its scores otherwise when it works."""
    kept = tuple(score for score in item.scores or () if not score.scoring_failed)
    return item.model_copy(update={"scores": kept})
