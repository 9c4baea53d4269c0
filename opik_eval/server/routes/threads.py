"""Threads: conversations that traces make up."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.records import Document, Thread, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.failures import RefusedError, not_found
from opik_eval.server.filters import Wanted, text_search, wanted
from opik_eval.server.paging import PageWanted, cursor_in, field_of, ordered, sorting_in
from opik_eval.server.payloads import Payload, objects, required_text, text, texts
from opik_eval.server.projects import Projects
from opik_eval.server.replies import done, json_reply, lines_reply
from opik_eval.server.routes.feedback import remove_scores, scores_from
from opik_eval.server.routes.queue_members import queues_of
from opik_eval.server.schemas import tracing
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.threads import STATE, ThreadViews, thread_model_id, thread_state
from opik_eval.server.writing import merged_tags, tags_after
from opik_eval.storage.query import Condition

router = APIRouter(prefix="/v1/private/traces/threads", tags=["Threads"])
_SORTABLE = (
    *("id", "start_time", "end_time", "duration", "number_of_messages", "last_updated_at"),
    *("created_at", "status", "feedback_scores.*", "total_estimated_cost"),
)


@router.get("")
def list_threads(
    context: Context,
    page: PageWanted,
    project_name: Annotated[str | None, Query()] = None,
    project_id: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
    sorting: Annotated[str | None, Query()] = None,
    search: Annotated[str | None, Query()] = None,
) -> Response:
    """List the threads of a project, the latest first or in a given order."""
    order = sorting_in(sorting, _SORTABLE)
    where = wanted(filters, "thread").also(
        *text_search(search, "id", "first_message", "last_message")
    )
    project = Projects(context).wanted({"project_name": project_name, "project_id": project_id})
    found = sorted(_found(context, project, where), key=_model_id, reverse=True)
    views = ThreadViews(context)
    if not order:
        rows, total = page.cut(found)
        return page.reply(views.of(rows), total, _SORTABLE)
    shown, total = page.cut(ordered(views.of(found), order, field_of))
    return page.reply(shown, total, _SORTABLE)


@router.post("/search", **takes(tracing.THREAD_SEARCH))
def search_threads(context: Context, request: Request, body: Body) -> Response:
    """Stream the threads of a project, one JSON object a line."""
    payload = body.object()
    most = request.app.state.settings.max_page_size
    cursor = cursor_in(payload, most, before="last_retrieved_thread_model_id")
    where = wanted(payload.get("filters"), "thread")
    project = Projects(context).wanted(payload)
    found = list(_found(context, project, where))
    # Opik's own client sends the thread id of the last line where the model id belongs.
    by_name = {thread.id: _model_id(thread) for thread in found}
    if cursor.before in by_name:
        cursor = cursor_in({**payload, "last_retrieved_id": by_name[str(cursor.before)]}, most)
    return lines_reply(ThreadViews(context).of(cursor.cut(found, _model_id)))


@router.post("/retrieve", **takes(tracing.THREAD))
def retrieve_thread(context: Context, body: Body) -> Response:
    """Return a thread."""
    payload = body.object()
    thread_id = required_text(payload, "thread_id")
    project = Projects(context).wanted(payload)
    return json_reply(ThreadViews(context).of([_find(context, project, thread_id)])[0])


@router.post("/delete", status_code=204, **takes(tracing.THREADS))
def delete_threads(context: Context, body: Body) -> Response:
    """Delete threads with their traces and scores."""
    payload = body.object()
    project = Projects(context).wanted(payload)
    for thread_id in texts(payload, "thread_ids"):
        where = Condition("thread_id", "=", thread_id)
        traces = context.storage.list_traces(project_name=project, where=where)
        ids = [trace.id for trace in traces if trace.thread_id == thread_id]
        context.storage.delete_traces(ids)
        scores = context.storage.list_feedback_scores("thread", [thread_id], project_name=project)
        names = [score.name for score in scores]
        context.storage.delete_feedback_scores("thread", thread_id, names, project_name=project)
        context.documents.delete_documents(STATE, [thread_model_id(project, thread_id)])
    return done()


@router.put("/close", status_code=204, **takes(tracing.THREAD_STATE))
def close_threads(context: Context, body: Body) -> Response:
    """Mark threads as inactive."""
    _set_status(context, body.object(), "inactive")
    return done()


@router.put("/open", status_code=204, **takes(tracing.THREAD_STATE))
def open_threads(context: Context, body: Body) -> Response:
    """Mark threads as active."""
    _set_status(context, body.object(), "active")
    return done()


@router.put("/feedback-scores", status_code=204, **takes(tracing.THREAD_SCORES))
def write_scores(context: Context, body: Body) -> Response:
    """Write scores of threads, open or closed."""
    context.storage.write(scores_from(body.object(), "thread"))
    return done()


@router.post("/feedback-scores/delete", status_code=204, **takes(tracing.THREAD_SCORE_NAMES))
def delete_scores(context: Context, body: Body) -> Response:
    """Delete scores of a thread, by one author or by all."""
    payload = body.object()
    remove_scores(
        context,
        "thread",
        required_text(payload, "thread_id"),
        texts(payload, "names"),
        text(payload, "author"),
        Projects(context).name_from(payload),
    )
    return done()


@router.patch("/batch", status_code=204, **takes(tracing.THREAD_UPDATES))
def patch_threads(context: Context, body: Body) -> Response:
    """Change the tags of threads, named by their model ids."""
    payload = body.object()
    (update,) = objects({"update": [payload.get("update")]}, "update")
    update = merged_tags(update, merge_tags=payload.get("merge_tags") is True)
    for project, thread_id in _named(context, {*texts(payload, "ids")}):
        _change_tags(context, project, thread_id, update)
    return done()


@router.patch("/{model_id}", status_code=204, **takes(tracing.THREAD_UPDATE))
def patch_thread(context: Context, model_id: str, body: Body) -> Response:
    """Change the tags of a thread, named by its model id."""
    update = body.object()
    for project, thread_id in _named(context, {model_id}):
        _change_tags(context, project, thread_id, update)
        return done()
    raise not_found("Thread", model_id)


def _named(context: RequestContext, model_ids: Collection[str]) -> list[tuple[str, str]]:
    """Return project and id of the threads that some model ids name."""
    found = context.pages.thread_keys()
    return [(key, thread) for key, thread in found if thread_model_id(key, thread) in model_ids]


def _change_tags(context: RequestContext, project: str, thread_id: str, update: Payload) -> None:
    with context.lock:
        state = thread_state(context, project, thread_id)
        before = state.body.get("tags") if state else None
        tags = tags_after(update, before if isinstance(before, list) else None)
        if tags is None and update.get("tags") is not None:
            tags = texts(update, "tags")
        if tags is not None:
            _keep(context, project, thread_id, {"tags": tags})


def _set_status(context: RequestContext, payload: Payload, status: str) -> None:
    ids = texts(payload, "thread_ids") if payload.get("thread_ids") else []
    single = text(payload, "thread_id")
    if not ids and single is None:
        raise RefusedError(422, "thread_id or thread_ids must be given")
    project = Projects(context).wanted(payload)
    with context.lock:
        for thread_id in {*ids, *([single] if single else [])}:
            _keep(context, project, thread_id, {"status": status})


def _keep(
    context: RequestContext, project: str, thread_id: str, changes: dict[str, object]
) -> None:
    state = thread_state(context, project, thread_id)
    document = Document(
        id=thread_model_id(project, thread_id),
        kind=STATE,
        name=thread_id,
        body={**(state.body if state else {}), **changes},
        created_at=state.created_at if state else utc_now(),
        last_updated_at=utc_now(),
    )
    context.documents.put_documents([document])


def _found(context: RequestContext, project: str, where: Wanted) -> Iterator[Thread]:
    views = ThreadViews(context)
    threads = context.storage.list_threads(project_name=project, where=where.stored)
    return where.decide(
        threads,
        lambda thread: {
            **views.own_values(thread),
            "annotation_queue_ids": queues_of(context, _model_id(thread)),
        },
    )


def _find(context: RequestContext, project: str, thread_id: str) -> Thread:
    where = Condition("id", "=", thread_id)
    for thread in context.storage.list_threads(project_name=project, where=where):
        if thread.id == thread_id:
            return thread
    raise not_found("Thread", thread_id)


def _model_id(thread: Thread) -> str:
    return thread_model_id(thread.project_name, thread.id)
