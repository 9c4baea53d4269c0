"""Feedback scores as they stand on traces, spans and threads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from opik_eval.records import FeedbackScore, ScoredEntity
from opik_eval.server.context import RequestContext
from opik_eval.storage.wire import feedback_score_to_wire

View = dict[str, object]
_IDENTITY = ("id", "thread_id", "entity_type", "project_name")


def score_view(score: FeedbackScore) -> View:
    """Return a score without what names its entity."""
    wire = feedback_score_to_wire(score)
    wire.setdefault("source", score.source)
    return {name: value for name, value in wire.items() if name not in _IDENTITY}


def scores_by_entity(
    context: RequestContext,
    entity_type: ScoredEntity,
    ids: Sequence[str],
    *,
    project_name: str | None = None,
) -> Mapping[str, list[View]]:
    """Return the scores of entities: one per name, the mean where several authors gave it."""
    found: dict[str, dict[str, list[FeedbackScore]]] = {}
    if ids:
        for score in context.storage.list_feedback_scores(
            entity_type, ids, project_name=project_name
        ):
            found.setdefault(score.entity_id, {}).setdefault(score.name, []).append(score)
    return {
        entity: [_joined(scores) for scores in by_name.values()]
        for entity, by_name in found.items()
    }


def mean_scores(views: Iterable[Sequence[View]]) -> list[View]:
    """Return the mean of each score over several entities, in order of name."""
    values: dict[str, list[float]] = {}
    for scores in views:
        for score in scores:
            values.setdefault(str(score["name"]), []).append(float(str(score["value"])))
    return [{"name": name, "value": math.fsum(v) / len(v)} for name, v in sorted(values.items())]


def _joined(scores: Sequence[FeedbackScore]) -> View:
    view = score_view(scores[0])
    if len(scores) == 1 and scores[0].author is None:
        return view
    if len(scores) > 1:
        view["value"] = math.fsum(score.value for score in scores) / len(scores)
        reasons = [score.reason for score in scores if score.reason]
        view["reason"] = ", ".join(reasons) if reasons else None
    view["value_by_author"] = {score.author or "admin": score_view(score) for score in scores}
    return view
