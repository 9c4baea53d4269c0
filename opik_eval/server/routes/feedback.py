"""Feedback scores and comments on traces and spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from fastapi import APIRouter
from starlette.responses import Response

from opik_eval.records import Document, FeedbackScore, ScoredEntity, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.failures import not_found
from opik_eval.server.payloads import (
    Payload,
    identifier,
    identifiers,
    objects,
    required_identifier,
    required_text,
    text,
)
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import language, tracing
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.notes import COMMENT, note_view
from opik_eval.storage.wire import feedback_score_from_wire

router = APIRouter(prefix="/v1/private", tags=["Feedback"])


def scores_from(payload: Payload, entity_type: ScoredEntity) -> list[FeedbackScore]:
    """Return the scores of a batch.

    Raises:
        PayloadError: One is no score, such as NaN (400).
    """
    found: list[FeedbackScore] = []
    for score in objects(payload, "scores"):
        given: dict[str, object] = {"entity_type": entity_type}
        if entity_type == "thread":
            given["entity_id"] = required_text(score, "thread_id")
        else:
            given["entity_id"] = required_identifier(score, "id")
        found.append(feedback_score_from_wire(score, **given))
    return found


def remove_scores(
    context: RequestContext,
    entity_type: ScoredEntity,
    entity_id: str,
    names: Sequence[str],
    author: str | None,
    project_name: str | None = None,
) -> None:
    """Delete the named scores of an entity, by one author or by all."""
    storage = context.storage
    with context.lock:
        kept: list[FeedbackScore] = []
        if author is not None:
            scores = storage.list_feedback_scores(
                entity_type, [entity_id], project_name=project_name
            )
            kept = [s for s in scores if s.name in names and (s.author or "admin") != author]
        storage.delete_feedback_scores(entity_type, entity_id, names, project_name=project_name)
        storage.write(kept)


def _scoring_routes(plural: str, entity_type: ScoredEntity) -> None:
    @router.put(f"/{plural}/feedback-scores", status_code=204, **takes(tracing.SCORES))
    def write_scores(context: Context, body: Body) -> Response:
        """Write scores; a score of the same name and author is replaced."""
        context.storage.write(scores_from(body.object(), entity_type))
        return done()

    @router.put(f"/{plural}/{{entity_id}}/feedback-scores", status_code=204, **takes(tracing.SCORE))
    def write_score(context: Context, entity_id: str, body: Body) -> Response:
        """Write one score."""
        given: dict[str, object] = {
            "entity_type": entity_type,
            "entity_id": identifier(entity_id),
        }
        context.storage.write([feedback_score_from_wire(body.object(), **given)])
        return done()

    @router.post(
        f"/{plural}/{{entity_id}}/feedback-scores/delete",
        status_code=204,
        **takes(tracing.SCORE_NAME),
    )
    def delete_score(context: Context, entity_id: str, body: Body) -> Response:
        """Delete a score, by one author or by all."""
        payload = body.object()
        names, author = [required_text(payload, "name")], text(payload, "author")
        remove_scores(context, entity_type, identifier(entity_id), names, author)
        return done()


def _comment_routes(plural: str, find: Callable[[RequestContext, str], object]) -> None:
    @router.post(f"/{plural}/{{entity_id}}/comments", status_code=201, **takes(tracing.COMMENT))
    def write_comment(context: Context, entity_id: str, body: Body) -> Response:
        """Write a comment."""
        entity = identifier(entity_id)
        if find(context, entity) is None:
            raise not_found(plural.removesuffix("s").capitalize(), entity)
        comment = _comment(identifier(None), entity, body.object(), context.user)
        context.documents.put_documents([comment])
        return created(f"v1/private/{plural}/{entity}/comments/{comment.id}")

    @router.get(f"/{plural}/{{entity_id}}/comments/{{comment_id}}")
    def read_comment(context: Context, entity_id: str, comment_id: str) -> Response:
        """Return a comment."""
        found = context.documents.find_document(COMMENT, comment_id)
        if found is None or found.name != entity_id:
            raise not_found("Comment", comment_id)
        return json_reply(note_view(found))

    @router.patch(f"/{plural}/comments/{{comment_id}}", status_code=204, **takes(tracing.COMMENT))
    def patch_comment(context: Context, comment_id: str, body: Body) -> Response:
        """Change the text of a comment."""
        found = context.documents.find_document(COMMENT, comment_id)
        if found is None or found.name is None:
            raise not_found("Comment", comment_id)
        changed = _comment(comment_id, found.name, body.object(), context.user)
        created_at = {"created_at": found.created_at}
        context.documents.put_documents([changed.model_copy(update=created_at)])
        return done()

    @router.post(f"/{plural}/comments/delete", status_code=204, **takes(language.IDS))
    def delete_comments(context: Context, body: Body) -> Response:
        """Delete comments."""
        context.documents.delete_documents(COMMENT, identifiers(body.object()))
        return done()


def _comment(comment_id: str, entity_id: str, payload: Payload, user: str) -> Document:
    return Document(
        id=comment_id,
        kind=COMMENT,
        name=entity_id,
        body={
            "text": required_text(payload, "text"),
            "created_by": user,
            "last_updated_by": user,
        },
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )


def _kinds() -> Iterator[tuple[str, ScoredEntity]]:
    yield from (("traces", "trace"), ("spans", "span"))


for _plural, _entity in _kinds():
    _scoring_routes(_plural, _entity)
    _comment_routes(
        _plural,
        cast(
            "Callable[[RequestContext, str], object]",
            lambda context, i, kind=_entity: getattr(context.storage, f"find_{kind}")(i),
        ),
    )
