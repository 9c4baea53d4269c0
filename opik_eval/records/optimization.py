"""Optimization runs."""

from __future__ import annotations

from opik_eval.records.base import Record, UtcDatetime


class Optimization(Record):
    """One run of an optimizer; its trials are experiments that carry its id.

    Attributes:
        status: ``initialized``, ``running``, ``completed``, ``cancelled``, ``error``.
    """

    id: str
    name: str | None = None
    dataset_name: str | None = None
    objective_name: str | None = None
    project_name: str | None = None
    status: str | None = None
    metadata: dict[str, object] | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None
