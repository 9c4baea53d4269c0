"""Documents: small JSON objects of a kind, for what needs no table of its own."""

from __future__ import annotations

from opik_eval.records.base import Record, UtcDatetime


class Document(Record):
    """A JSON object that some part of the product keeps, such as an API key or a dashboard.

    Identity is (kind, id). A document is one statement: of two writes the newer replaces the
    other, field for field.

    Attributes:
        kind: What it is; documents are listed by it.
        name: What it may be looked up by; not unique.
        body: The object.
    """

    id: str
    kind: str
    name: str | None = None
    body: dict[str, object]
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None
