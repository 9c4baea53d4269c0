"""Documents that hang on traces, spans and threads: comments, guardrails, assertions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opik_eval.records import Document
from opik_eval.server.context import RequestContext
from opik_eval.storage.wire import wire_time

COMMENT, GUARDRAIL, ASSERTION = "comment", "guardrail", "assertion"
View = dict[str, object]


def notes_on(context: RequestContext, kind: str, ids: Sequence[str]) -> Mapping[str, list[View]]:
    """Return the documents of a kind on entities, which are the documents' names."""
    documents = context.documents
    if not ids or next(iter(documents.list_documents(kind)), None) is None:
        return {}
    found = {i: [note_view(d) for d in documents.list_documents(kind, name=i)] for i in ids}
    return {entity: notes for entity, notes in found.items() if notes}


def note_view(document: Document) -> View:
    """Return a document as clients see it: its body with id and times."""
    view: View = {"id": document.id, **document.body}
    for name in ("created_at", "last_updated_at"):
        moment = getattr(document, name)
        if moment is not None:
            view[name] = wire_time(moment)
    return view
