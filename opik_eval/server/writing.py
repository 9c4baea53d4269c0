"""What routes write: payloads turned into records, in the time and order they came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import cast

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.records import Span, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.costs import estimated_cost, priced
from opik_eval.server.failures import RefusedError
from opik_eval.server.payloads import Payload, identifier, required_identifier
from opik_eval.server.projects import Projects
from opik_eval.storage.wire import span_from_wire, trace_from_wire

_PRICED = ("usage", "model", "provider")
_CHANGES_OF_TAGS = ("tags_to_add", "tags_to_remove")


def new_trace(payload: Payload) -> Trace:
    """Return the trace that a payload creates.

    Raises:
        RefusedError: Its start is missing (422).
        FrameworkError: Its id is no UUIDv7 (400).
    """
    _require_start(payload)
    given: dict[str, object] = {"id": identifier(payload.get("id"))}
    if not payload.get("project_name"):
        given["project_name"] = DEFAULT_PROJECT
    return trace_from_wire(payload, **given)


def new_span(payload: Payload) -> Span:
    """Return the span that a payload creates.

    Raises:
        RefusedError: Its start or trace is missing (422).
        FrameworkError: An id is no UUIDv7 (400).
    """
    _require_start(payload)
    given: dict[str, object] = {
        "id": identifier(payload.get("id")),
        "trace_id": required_identifier(payload, "trace_id"),
    }
    if payload.get("parent_span_id") is not None:
        given["parent_span_id"] = identifier(payload["parent_span_id"], "parent_span_id")
    if not payload.get("project_name"):
        given["project_name"] = DEFAULT_PROJECT
    return priced(span_from_wire(payload, **given))


def update_traces(context: RequestContext, ids: Iterable[str], update: Payload) -> None:
    """Write an update of traces, which need not be there yet."""
    given = _project_of(context, update)
    with context.lock if _changes_tags(update) else nullcontext():
        records: list[Trace] = []
        for trace_id in ids:
            given["id"] = trace_id
            if _changes_tags(update):
                stored = context.storage.find_trace(trace_id)
                given["tags"] = tags_after(update, None if stored is None else stored.tags)
            records.append(trace_from_wire(update, **given))
        context.storage.write(records)


def update_spans(context: RequestContext, ids: Iterable[str], update: Payload) -> None:
    """Write an update of spans, which need not be there yet.

    Raises:
        RefusedError: Neither the update nor what is stored says the trace (422).
    """
    given = _project_of(context, update)
    with context.lock if _depends_on_stored(update) else nullcontext():
        records: list[Span] = []
        for span_id in ids:
            stored = None
            trace_id = update.get("trace_id")
            if trace_id is None or _changes_tags(update):
                stored = context.storage.find_span(span_id)
            if trace_id is None and stored is not None:
                trace_id = stored.trace_id
            wanted = {"trace_id": trace_id}
            given["trace_id"] = required_identifier(wanted, "trace_id")
            given["id"] = span_id
            if _changes_tags(update):
                given["tags"] = tags_after(update, None if stored is None else stored.tags)
            records.append(_repriced(context, span_from_wire(update, **given)))
        context.storage.write(records)


def _depends_on_stored(update: Payload) -> bool:
    """Return whether what an update of a span writes depends on what is stored of it."""
    may_change_cost = any(update.get(name) is not None for name in _PRICED)
    return update.get("trace_id") is None or _changes_tags(update) or may_change_cost


def _repriced(context: RequestContext, update: Span) -> Span:
    """Return an update with the new cost, if it changes what a cost of ours was computed from."""
    if update.cost_usd is not None or not (update.usage or update.model or update.provider):
        return update
    stored = context.storage.find_span(update.id)
    if stored is None:
        return priced(update)
    if stored.cost_usd not in (None, estimated_cost(stored)):
        return update  # a client said it
    named = {name: value for name, value in update if value is not None}
    cost = estimated_cost(stored.model_copy(update=named))
    return update if cost is None else update.model_copy(update={"cost_usd": cost})


def merged_tags(update: Payload, *, merge_tags: bool) -> Payload:
    """Return an update whose tags are added to the stored ones if that is asked for."""
    if not merge_tags or not isinstance(update.get("tags"), list):
        return update
    rest = {name: value for name, value in update.items() if name != "tags"}
    added = cast("list[object]", update.get("tags_to_add") or [])
    return {**rest, "tags_to_add": [*added, *cast("list[object]", update["tags"])]}


def tags_after(update: Payload, before: Sequence[str] | None) -> list[str] | None:
    """Return the tags that an update leaves; ``None`` if it does not change them.

    Raises:
        RefusedError: The tags are no list of texts (422).
    """
    if not _changes_tags(update):
        return None
    tags = _texts(update, "tags") if update.get("tags") is not None else list(before or ())
    removed = set(_texts(update, "tags_to_remove"))
    kept = [tag for tag in tags if tag not in removed]
    return list(dict.fromkeys([*kept, *_texts(update, "tags_to_add")]))


def _changes_tags(update: Payload) -> bool:
    return any(update.get(name) is not None for name in _CHANGES_OF_TAGS)


def _texts(payload: Payload, name: str) -> list[str]:
    value = payload.get(name) or []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise RefusedError(422, f"{name} must be a list of texts")
    return value


def _project_of(context: RequestContext, update: Payload) -> dict[str, object]:
    if update.get("project_id") is None:
        return {}
    return {"project_name": Projects(context).name_from(update)}


def _require_start(payload: Payload) -> None:
    if payload.get("start_time") is None:
        raise RefusedError(422, "start_time must not be null")
