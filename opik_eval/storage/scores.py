"""Summaries of an experiment's scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from opik_eval.records import ExperimentItem, ScoreSummary

_Key = tuple[str, str]


def summarize_items(
    items: Iterable[ExperimentItem], values: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[ScoreSummary]:
    """Return the summaries of all scores of some experiment items, by experiment and name.

    Args:
        items: Items of any experiments. An item's value of a score is the mean of what its authors
            gave the item's trace.
        values: Feedback scores by trace and name, one value per author.
    """
    found: dict[_Key, list[float]] = {}
    failed: Counter[_Key] = Counter()
    for item in items:
        for name, given in values.get(item.trace_id or "", {}).items():
            found.setdefault((item.experiment_id, name), []).append(_mean(given))
        for score in item.scores or ():
            if score.scoring_failed or score.value is None:
                failed[item.experiment_id, score.name] += 1
    return [
        ScoreSummary(
            experiment_id=key[0],
            name=key[1],
            count=len(found.get(key, ())),
            mean=_mean(found[key]) if key in found else None,
            failed=failed[key],
        )
        for key in sorted(found.keys() | failed.keys())
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
