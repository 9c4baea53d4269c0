"""Traces, spans, threads, scores and attachments of a real Opik server.

Such a server streams the newest rows first and has no snapshots: all rows are collected before the
first is handed on, and what others write meanwhile may show or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast
from urllib.parse import quote

from opik_eval.records import Record, Span, Trace
from opik_eval.storage.http_opik_rows import PLURALS, PRIVATE, Arguments, OpikRows, id_of
from opik_eval.storage.http_pages import pages, stream
from opik_eval.storage.query import Filter, to_opik
from opik_eval.storage.wire import Payload, feedback_score_from_wire, record_from_wire


class OpikTraced:
    """Lists what is traced.

    Args:
        rows: Rows of the server.
    """

    def __init__(self, rows: OpikRows) -> None:
        self._rows = rows

    def traced(self, kind: str, given: Arguments) -> Iterator[Record]:
        """Yield traces or spans by id."""
        rows: list[Record] = []
        for body in self._searches(kind, given):
            if self._rows.knows_project(cast("str", body["project_name"])):
                path = f"{PRIVATE}/{PLURALS[kind]}/search"
                rows += (
                    self._rows.record(kind, row)
                    for row in stream(self._rows.connection, path, body)
                )
        newest_first = bool(given.get("newest_first"))
        rows.sort(key=id_of, reverse=newest_first)
        return islice(rows, cast("int | None", given.get("limit")))

    def _searches(self, kind: str, given: Arguments) -> Iterator[dict[str, object]]:
        filters = to_opik(cast("Filter", given["where"])) if "where" in given else []
        traces = given.get("trace_ids") if kind == "span" else None
        for project in self._rows.projects_of(given):
            body: dict[str, object] = {"project_name": project, "filters": filters}
            if traces is None:
                yield body
            else:
                unique = dict.fromkeys(cast("Sequence[str]", traces))
                yield from ({**body, "trace_id": trace_id} for trace_id in unique)

    def threads(self, given: Arguments) -> Iterator[Record]:
        """Yield conversations by project and id."""
        filters = to_opik(cast("Filter", given["where"])) if "where" in given else []
        for project in sorted(self._rows.projects_of(given), key=str.casefold):
            if not self._rows.knows_project(project):
                continue
            body = {"project_name": project, "filters": filters}
            rows = stream(
                self._rows.connection,
                f"{PRIVATE}/traces/threads/search",
                body,
                cursor="last_retrieved_thread_model_id",
                row_id="thread_model_id",
            )
            found = [_thread(row, project) for row in rows]
            yield from sorted(found, key=id_of)

    def scores(self, given: Arguments) -> Iterator[Record]:
        """Yield feedback scores."""
        entity = cast("str", given["entity_type"])
        found = [
            feedback_score_from_wire(score, entity_type=entity, entity_id=row["id"])
            for row in self._scored_rows(entity, given)
            for score in cast("list[Payload]", row.get("feedback_scores") or [])
        ]
        yield from sorted(found, key=lambda s: (s.entity_id, s.name, s.author or ""))

    def _scored_rows(self, entity: str, given: Arguments) -> Iterator[Payload]:
        ids = given.get("entity_ids")
        if ids is not None and entity != "thread":
            for identifier in dict.fromkeys(cast("Sequence[str]", ids)):
                path = f"{PRIVATE}/{PLURALS[entity]}/{quote(identifier, safe='')}"
                reply = self._rows.connection.ask("GET", path, missing=True)
                if reply.is_success:
                    yield cast("Payload", reply.json())
            return
        wanted = None if ids is None else {*cast("Sequence[str]", ids)}
        path = "traces/threads/search" if entity == "thread" else f"{PLURALS[entity]}/search"
        for project in filter(self._rows.knows_project, self._rows.projects_of(given)):
            body = {"project_name": project}
            for row in stream(self._rows.connection, f"{PRIVATE}/{path}", body):
                if wanted is None or row["id"] in wanted:
                    yield row

    def attachments(self, given: Arguments) -> Iterator[Record]:
        """Yield the attachments of a trace or span; their ids are their links."""
        yield from map(self._attachment, self._attachment_rows(given))

    def _attachment_rows(self, given: Arguments) -> Iterator[Payload]:
        owner = self._rows.find(cast("str", given["entity_type"]), cast("str", given["entity_id"]))
        name = cast("Trace | Span", owner).project_name if owner is not None else None
        project = self._rows.find("project", name) if name is not None else None
        if project is None:
            return
        params = {
            "project_id": id_of(project),
            "entity_type": str(given["entity_type"]),
            "entity_id": str(given["entity_id"]),
        }
        for row in pages(self._rows.connection, f"{PRIVATE}/attachment/list", params):
            yield {**params, **row}

    def _attachment(self, row: Payload) -> Record:
        return record_from_wire({"id": row["link"], "sha256": "", **row, "kind": "attachment"})


def _thread(row: Payload, project: str) -> Record:
    """Return a conversation. Opik counts two messages a trace, its input and its output."""
    messages = cast("int", row.get("number_of_messages") or 0)
    own = {"kind": "thread", "project_name": project, "number_of_messages": messages // 2}
    return record_from_wire({**row, **own})
