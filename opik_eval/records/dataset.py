"""Datasets, their items and versions."""

from __future__ import annotations

from opik_eval.records.base import Record, UtcDatetime


class Dataset(Record):
    """A named, versioned collection of items. Names are unique in a store."""

    id: str
    name: str
    description: str | None = None
    project_name: str | None = None
    tags: tuple[str, ...] | None = None
    type: str | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None


class DatasetItem(Record):
    """One item. The user's fields live in ``data``, where no name can collide with ours.

    Attributes:
        content_hash: Hash of what the user wrote (``data``, ``description``, ``evaluators``,
            ``execution_policy``); the store keeps it current.
    """

    id: str
    data: dict[str, object]
    description: str | None = None
    tags: tuple[str, ...] | None = None
    source: str = "sdk"
    trace_id: str | None = None
    span_id: str | None = None
    evaluators: tuple[dict[str, object], ...] | None = None
    execution_policy: dict[str, int] | None = None
    content_hash: str | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None


class DatasetVersion(Record):
    """The state of a dataset after one logical change. Immutable.

    Attributes:
        number: 1, 2, 3 ... within the dataset.
        name: ``v1``, ``v2`` ...
    """

    id: str
    dataset_id: str
    number: int
    name: str
    items_total: int
    items_added: int = 0
    items_modified: int = 0
    items_deleted: int = 0
    change_description: str | None = None
    created_at: UtcDatetime | None = None
