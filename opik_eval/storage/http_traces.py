"""Projects, traces, spans, scores and attachments over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from opik_eval.errors import ConflictError, NotFoundError, UnavailableError
from opik_eval.records import (
    Attachment,
    FeedbackScore,
    Project,
    ScoredEntity,
    Span,
    Thread,
    Trace,
)
from opik_eval.storage.http_state import HttpState
from opik_eval.storage.query import Filter


class HttpTraces:
    """``TraceStore`` over HTTP."""

    _state: HttpState

    def find_project(self, name: str) -> Project | None:
        """Return the project of that name; see ``TraceStore``."""
        return self._state.find(Project, name)

    def list_projects(self) -> Iterator[Project]:
        """Yield all projects; see ``TraceStore``."""
        return self._state.select(Project, {})

    def find_trace(self, trace_id: str) -> Trace | None:
        """Return the trace of that id; see ``TraceStore``."""
        return self._state.find(Trace, trace_id)

    def find_span(self, span_id: str) -> Span | None:
        """Return the span of that id; see ``TraceStore``."""
        return self._state.find(Span, span_id)

    def list_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Trace]:
        """Yield traces; see ``TraceStore``."""
        arguments = {
            "project_name": project_name,
            "where": where,
            "limit": limit,
            "newest_first": newest_first,
        }
        return self._state.select(Trace, arguments)

    def list_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Span]:
        """Yield spans; see ``TraceStore``."""
        arguments = {
            "project_name": project_name,
            "trace_ids": trace_ids,
            "where": where,
            "limit": limit,
            "newest_first": newest_first,
        }
        return self._state.select(Span, arguments)

    def list_threads(
        self, *, project_name: str | None = None, where: Filter | None = None
    ) -> Iterator[Thread]:
        """Yield conversations; see ``TraceStore``."""
        arguments = {"project_name": project_name, "where": where}
        return self._state.select(Thread, arguments)

    def list_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_ids: Sequence[str] | None = None,
        *,
        project_name: str | None = None,
    ) -> Iterator[FeedbackScore]:
        """Yield scores; see ``TraceStore``."""
        arguments = {
            "entity_type": entity_type,
            "entity_ids": entity_ids,
            "project_name": project_name,
        }
        return self._state.select(FeedbackScore, arguments)

    def delete_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_id: str,
        names: Sequence[str],
        *,
        project_name: str | None = None,
    ) -> None:
        """Delete scores; see ``TraceStore``."""
        arguments: dict[str, object] = {
            "entity_type": entity_type,
            "entity_id": entity_id,
            "names": [*names],
        }
        if project_name is not None:
            arguments["project_name"] = project_name
        self._state.dialect().delete_scores(arguments)

    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        """Delete traces; see ``TraceStore``."""
        self._state.dialect().delete("trace", trace_ids)


class HttpAttachments:
    """The files of traces and spans over HTTP."""

    _state: HttpState

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store a file, by way of the outbox; see ``TraceStore``."""
        data = content if isinstance(content, bytes) else _read(content)
        found = (hashlib.sha256(data).hexdigest(), len(data))
        if found != (attachment.sha256, attachment.size_bytes):
            raise ConflictError(
                f"attachment {attachment.file_name!r} has hash {found[0]} and {found[1]} bytes, "
                f"its record says {attachment.sha256} and {attachment.size_bytes}",
                remedy="make the record from the content that is stored",
            )
        self._state.put_attachment(attachment, data)

    def read_attachment(self, attachment_id: str) -> bytes:
        """Return the bytes of an attachment; see ``TraceStore``."""
        try:
            return self._state.dialect().read_attachment(attachment_id)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no attachment {attachment_id!r}",
                remedy="list_attachments says which ones a trace or span has",
            ) from error

    def list_attachments(self, entity_type: str, entity_id: str) -> Iterator[Attachment]:
        """Yield the attachments of a trace or span; see ``TraceStore``."""
        arguments = {"entity_type": entity_type, "entity_id": entity_id}
        return self._state.select(Attachment, arguments)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
