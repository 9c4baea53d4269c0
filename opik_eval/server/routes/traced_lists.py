"""What lists and streams of traces and of spans have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Generic, Literal, Protocol, TypeVar

from fastapi import Depends, Query, Request

from opik_eval.records import Span, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.failures import bad_request
from opik_eval.server.filters import Wanted, text_search, wanted
from opik_eval.server.paging import Page, Sorting, cursor_in, field_of, ordered, sorting_in
from opik_eval.server.payloads import Payload, text
from opik_eval.server.projects import Projects
from opik_eval.server.routes.queue_members import queues_of
from opik_eval.server.views.notes import GUARDRAIL, notes_on
from opik_eval.server.views.traces import SpanViews, TraceViews
from opik_eval.storage.query import Condition, Operator, date_text

R = TypeVar("R", Trace, Span)
R_contra = TypeVar("R_contra", Trace, Span, contravariant=True)
View = Mapping[str, object]

TRACED_FIELDS = (
    *("id", "name", "start_time", "end_time", "created_at", "last_updated_at", "duration", "ttft"),
    *("total_estimated_cost", "span_count", "llm_span_count", "thread_id", "model", "provider"),
    *("type", "input", "output", "environment", "usage.*", "feedback_scores.*", "metadata.*"),
)
"""Fields that lists of traces and spans can be ordered by."""
_SEARCHED = ("id", "name", "input", "output", "metadata")
_CHUNK = 1000
_RANGES: tuple[tuple[str, Operator], ...] = (("from_time", ">="), ("to_time", "<="))
_BY_ID = [Sorting("id", descending=True)]


@dataclass(frozen=True)
class ListQuery:
    """The query of a list of traces or spans."""

    project_name: Annotated[str | None, Query()] = None
    project_id: Annotated[str | None, Query()] = None
    trace_id: Annotated[str | None, Query()] = None
    type: Annotated[str | None, Query()] = None
    filters: Annotated[str | None, Query()] = None
    sorting: Annotated[str | None, Query()] = None
    search: Annotated[str | None, Query()] = None
    exclude: Annotated[str | None, Query()] = None
    from_time: Annotated[str | None, Query()] = None
    to_time: Annotated[str | None, Query()] = None
    truncate: Annotated[bool | None, Query()] = None


ListWanted = Annotated[ListQuery, Depends()]


@dataclass(frozen=True)
class Selection:
    """Which records of a project are wanted."""

    project_name: str
    trace_ids: Sequence[str] | None
    where: Wanted


class Views(Protocol[R_contra]):
    """Makes read models."""

    def of(self, records: Sequence[R_contra], /) -> Sequence[View]:
        """Return the read models of records."""
        ...


@dataclass(frozen=True)
class Traced(Generic[R]):
    """Traces, or spans: how to find them, count them and show them.

    Attributes:
        entity: Name of their kind.
        find: Returns some of those that the storage's part of a selection selects, newest first:
            ``limit`` after the first ``skip`` of those with ids below ``before_id``.
        count: Returns how many it selects.
        views: Makes their read models.
    """

    entity: Literal["trace", "span"]
    find: Callable[[RequestContext, Selection, str | None, int, int], Iterator[R]]
    count: Callable[[RequestContext, Selection], int]
    views: Callable[[RequestContext], Views[R]]

    def page(self, context: RequestContext, page: Page, query: ListQuery) -> tuple[list[R], int]:
        """Return the records on a page, and the number of all.

        Raises:
            RefusedError: The project, a filter or the order makes no sense (400, 404).
        """
        sorting = sorting_in(query.sorting, TRACED_FIELDS)
        selection = self._selection(context, vars(query))
        if sorting and sorting != _BY_ID:
            records = list(self._all(context, selection, None))
            rows = zip(records, self.views(context).of(records), strict=True)
            found, total = page.cut(ordered(rows, sorting, lambda r, name: field_of(r[1], name)))
            return [record for record, _ in found], total
        if selection.where.own:
            return page.cut(self._all(context, selection, None))
        rows_on_page = list(self.find(context, selection, None, page.start, page.size))
        return rows_on_page, self.count(context, selection)

    def stream(self, context: RequestContext, request: Request, payload: Payload) -> list[R]:
        """Return the records of the next part of a stream, newest first.

        Raises:
            RefusedError: The project, a filter or the limit makes no sense (400, 404, 422).
        """
        cursor = cursor_in(payload, request.app.state.settings.max_page_size)
        selection = self._selection(context, payload)
        if selection.where.own:
            return list(islice(self._all(context, selection, cursor.before), cursor.limit))
        return list(self.find(context, selection, cursor.before, 0, cursor.limit))

    def _all(
        self, context: RequestContext, selection: Selection, before_id: str | None
    ) -> Iterator[R]:
        """Yield what all parts of a selection select."""
        while chunk := list(self.find(context, selection, before_id, 0, _CHUNK)):
            yield from selection.where.decide(chunk, lambda row: own_values(context, row.id))
            before_id = chunk[-1].id

    def _selection(self, context: RequestContext, payload: Payload) -> Selection:
        where = wanted(payload.get("filters"), self.entity)
        conditions: list[Condition] = []
        for name, operator in _RANGES:
            moment = text(payload, name)
            if moment is not None:
                conditions.append(Condition("start_time", operator, _date(name, moment)))
        span_type, trace_id = text(payload, "type"), text(payload, "trace_id")
        if self.entity == "span" and span_type is not None:
            conditions.append(Condition("type", "=", span_type))
        where = where.also(*conditions, *text_search(text(payload, "search"), *_SEARCHED))
        project = Projects(context).wanted(payload)
        return Selection(project, None if trace_id is None else [trace_id], where)


def excluded(value: object) -> list[str]:
    """Return names of fields, given as a list or as JSON or commas in a text."""
    if isinstance(value, str):
        return [name.strip(' "') for name in value.strip("[] ").split(",")]
    return [str(name) for name in value] if isinstance(value, list) else []


def own_values(context: RequestContext, record_id: str) -> View:
    """Return the values of the fields that only the server can filter by."""
    notes = notes_on(context, GUARDRAIL, [record_id]).get(record_id, ())
    results = [str(note.get("result")) for note in notes]
    return {
        "guardrails": "failed" if "failed" in results else "passed" if results else None,
        "annotation_queue_ids": queues_of(context, record_id),
        "created_by": context.user,
    }


def _find_traces(
    context: RequestContext, wanted: Selection, before_id: str | None, skip: int, limit: int
) -> Iterator[Trace]:
    return context.pages.page_traces(
        project_name=wanted.project_name,
        where=wanted.where.stored,
        before_id=before_id,
        skip=skip,
        limit=limit,
    )


def _count_traces(context: RequestContext, wanted: Selection) -> int:
    return context.pages.count_traces(project_name=wanted.project_name, where=wanted.where.stored)


def _find_spans(
    context: RequestContext, wanted: Selection, before_id: str | None, skip: int, limit: int
) -> Iterator[Span]:
    return context.pages.page_spans(
        project_name=wanted.project_name,
        trace_ids=wanted.trace_ids,
        where=wanted.where.stored,
        before_id=before_id,
        skip=skip,
        limit=limit,
    )


def _count_spans(context: RequestContext, wanted: Selection) -> int:
    return context.pages.count_spans(
        project_name=wanted.project_name, trace_ids=wanted.trace_ids, where=wanted.where.stored
    )


def _date(name: str, value: str) -> str:
    try:
        return date_text(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise bad_request(f"{name} must be an ISO 8601 date, but is {value[:80]!r}") from None


TRACES = Traced[Trace]("trace", _find_traces, _count_traces, TraceViews)
SPANS = Traced[Span]("span", _find_spans, _count_spans, SpanViews)
