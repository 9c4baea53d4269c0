"""Summaries of experiments' scores, computed where the scores are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from opik_eval.records import ScoreSummary
from opik_eval.storage.file_database import Database
from opik_eval.storage.file_tables import json_array

_VALUES = """
    SELECT i.experiment_id, s.name,
        CASE max(typeof(s.value)) WHEN 'text' THEN 'NaN' ELSE avg(s.value) END
    FROM experiment_items i CROSS JOIN feedback_scores s
        ON s.entity_type = 'trace' AND s.entity_id = i.trace_id
    WHERE i.experiment_id IN (SELECT value FROM json_each(?))
    GROUP BY i.experiment_id, i.id, s.name"""

_FAILURES = """
    SELECT i.experiment_id, f.value, count(*)
    FROM experiment_items i, json_each(i.failed_scores) f
    WHERE i.failed_scores IS NOT NULL
        AND i.experiment_id IN (SELECT value FROM json_each(?))
    GROUP BY i.experiment_id, f.value"""


def summarize(database: Database, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
    """Return what ``ExperimentStore.summarize_scores`` promises."""
    ids = [json_array(experiment_ids)]
    values: dict[tuple[str, str], list[float]] = {}
    for experiment_id, name, value in database.rows(_VALUES, ids):
        values.setdefault((experiment_id, name), []).append(float(value))
    failed = Counter({(e, name): count for e, name, count in database.rows(_FAILURES, ids)})
    return [
        ScoreSummary(
            experiment_id=key[0],
            name=key[1],
            count=len(values.get(key, ())),
            mean=math.fsum(values[key]) / len(values[key]) if key in values else None,
            failed=failed[key],
        )
        for key in sorted(values.keys() | failed.keys())
    ]
