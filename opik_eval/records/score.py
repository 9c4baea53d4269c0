"""Feedback scores and the scores inside an experiment item."""

from __future__ import annotations

from typing import Literal

from opik_eval.records.base import Record, UtcDatetime

ScoredEntity = Literal["trace", "span", "thread"]


class FeedbackScore(Record):
    """A score on a trace, span or thread.

    Identity is (entity_type, entity_id, name, author): writing again replaces. A thread's
    ``entity_id`` is its thread id, which is unique within ``project_name`` only.

    Attributes:
        source: ``sdk``, ``ui`` or ``online_scoring``.
    """

    entity_type: ScoredEntity = "trace"
    entity_id: str
    name: str
    value: float
    category_name: str | None = None
    reason: str | None = None
    source: str = "sdk"
    author: str | None = None
    project_name: str | None = None
    last_updated_at: UtcDatetime | None = None


class ItemScore(Record):
    """What one metric said of one experiment item, failures included.

    Attributes:
        value: The score; ``None`` = unscored or failed.
        scoring_failed: The metric raised; ``reason`` says why.
    """

    name: str
    value: float | None = None
    reason: str | None = None
    category_name: str | None = None
    metadata: dict[str, object] | None = None
    scoring_failed: bool = False


class ScoreSummary(Record):
    """A score over the items of an experiment. Derived, never written.

    Attributes:
        count: Items with a value.
        mean: Mean of those values; ``None`` if there are none.
        failed: Items whose metric failed or gave no value.
    """

    experiment_id: str
    name: str
    count: int
    mean: float | None
    failed: int
