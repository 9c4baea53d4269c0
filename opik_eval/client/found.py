"""What searches of the client return: records together with their feedback scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from opik_eval.records import FeedbackScore, ScoredEntity, Span, Thread, Trace
from opik_eval.storage.base import Storage

F = TypeVar("F", "FoundTrace", "FoundSpan", "FoundThread")


class FoundTrace(Trace):
    """A stored trace with its feedback scores. Read-only: a storage does not take it back."""

    feedback_scores: tuple[FeedbackScore, ...] = ()


class FoundSpan(Span):
    """A stored span with its feedback scores. Read-only: a storage does not take it back."""

    feedback_scores: tuple[FeedbackScore, ...] = ()


class FoundThread(Thread):
    """A conversation with its feedback scores."""

    feedback_scores: tuple[FeedbackScore, ...] = ()


def with_scores(
    storage: Storage,
    kind: type[F],
    entity_type: ScoredEntity,
    records: Iterable[Trace | Span | Thread],
    *,
    project_name: str | None = None,
) -> list[F]:
    """Return records as ``kind``, with their scores, which one query fetches.

    Args:
        storage: Where the scores are.
        kind: Type of the result.
        entity_type: What the scores are on.
        records: What was found.
        project_name: Project of the records; threads of other projects may share their ids.
    """
    found = list(records)
    by_entity: dict[str, list[FeedbackScore]] = {}
    ids = [record.id for record in found]
    for score in storage.list_feedback_scores(entity_type, ids, project_name=project_name):
        by_entity.setdefault(score.entity_id, []).append(score)
    return [
        kind.model_construct(**vars(record), feedback_scores=tuple(by_entity.get(record.id, ())))
        for record in found
    ]
