"""Projects: the folders that traces are filed in."""

from __future__ import annotations

from opik_eval.records.base import Record, UtcDatetime


class Project(Record):
    """A folder of traces. Names are unique, compared without regard to case."""

    id: str
    name: str
    description: str | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None
