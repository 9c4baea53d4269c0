"""Filters as data, and the fields and operators that each kind of record offers.

The names of the fields are Opik's. ``duration`` and ``ttft`` are in milliseconds as Opik's are;
``duration_seconds`` and ``ttft_seconds`` say the same in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Operator = Literal[
    "=",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "in",
    "not_in",
    "is_empty",
    "is_not_empty",
]


@dataclass(frozen=True)
class Condition:
    """One comparison, such as ``metadata.model = "gpt"`` or ``duration > 1.5``.

    Attributes:
        field: Column of the entity.
        operator: How to compare.
        value: What to compare with: a number for numbers and scores, a tuple for ``in`` and
            ``not_in``, ``None`` for ``is_empty`` and ``is_not_empty``, else a text; a date is
            ``2026-01-31T23:59:59.000000Z``.
        key: Path inside a dictionary column (``split_key`` takes it apart), name of a feedback
            score, kind of a usage count.
    """

    field: str
    operator: Operator
    value: str | float | tuple[str, ...] | None = None
    key: str = ""


@dataclass(frozen=True)
class AllOf:
    """True where every part is; written ``a and b``. Without parts: true everywhere."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """True where some part is; written ``a or b``. Without parts: true nowhere."""

    parts: tuple[Filter, ...]


Filter = Condition | AllOf | AnyOf

Entity = Literal["trace", "span", "thread", "dataset_item", "experiment", "prompt_version"]
FieldKind = Literal["string", "number", "date", "dict", "list", "score", "enum", "error"]

_ORDER: tuple[Operator, ...] = ("=", "!=", ">", ">=", "<", "<=")
_PRESENCE: tuple[Operator, ...] = ("is_empty", "is_not_empty")
_MEMBERSHIP: tuple[Operator, ...] = ("in", "not_in")
_PARTS: tuple[Operator, ...] = ("contains", "not_contains")
_TEXT = (*_ORDER, *_PARTS, "starts_with", "ends_with", *_MEMBERSHIP, *_PRESENCE)

OPERATORS: Mapping[FieldKind, tuple[Operator, ...]] = MappingProxyType(
    {
        "string": _TEXT,
        "dict": _TEXT,
        "number": (*_ORDER, *_PRESENCE),
        "date": (*_ORDER, *_PRESENCE),
        "score": (*_ORDER, *_PRESENCE),
        "list": ("=", "!=", *_PARTS, *_MEMBERSHIP, *_PRESENCE),
        "enum": ("=", "!=", *_MEMBERSHIP, *_PRESENCE),
        "error": _PRESENCE,
    }
)
"""The operators of each kind of field."""

NEGATIONS: Mapping[Operator, Operator] = MappingProxyType(
    {"!=": "=", "not_contains": "contains", "not_in": "in", "is_not_empty": "is_empty"}
)
"""Operators that are true exactly where another one is false."""


def _kinds(kind: FieldKind, names: str) -> dict[str, FieldKind]:
    return dict.fromkeys(names.split(), kind)


_TRACED = {
    **_kinds("string", "id name input output source project_name"),
    **_kinds("enum", "environment"),
    **_kinds("date", "start_time end_time created_at last_updated_at"),
    **_kinds("dict", "input_json output_json metadata"),
    **_kinds("number", "cost_usd duration duration_seconds ttft ttft_seconds usage"),
    **_kinds("list", "tags"),
    **_kinds("score", "feedback_scores"),
    **_kinds("error", "error_info"),
}

FIELDS: Mapping[Entity, Mapping[str, FieldKind]] = MappingProxyType(
    {
        "trace": _TRACED
        | _kinds("string", "thread_id")
        | _kinds("number", "span_count llm_span_count")
        | _kinds("list", "experiment_id")
        | _kinds("score", "span_feedback_scores"),
        "span": _TRACED
        | _kinds("string", "trace_id parent_span_id model provider")
        | _kinds("enum", "type"),
        "thread": _kinds("string", "id project_name first_message last_message")
        | _kinds("number", "number_of_messages duration duration_seconds")
        | _kinds("date", "start_time end_time")
        | _kinds("score", "feedback_scores"),
        "dataset_item": _kinds(
            "string", "id description source trace_id span_id content_hash full_data"
        )
        | _kinds("dict", "data")
        | _kinds("list", "tags")
        | _kinds("date", "created_at last_updated_at"),
        "experiment": _kinds(
            "string",
            "id name dataset_id dataset_name dataset_version_id project_name optimization_id",
        )
        | _kinds("enum", "type status evaluation_method")
        | _kinds("dict", "config")
        | _kinds("list", "tags prompt_version_ids")
        | _kinds("score", "experiment_scores")
        | _kinds("date", "created_at last_updated_at"),
        "prompt_version": _kinds(
            "string", "id prompt_id commit version_number template change_description"
        )
        | _kinds("number", "number")
        | _kinds("enum", "type")
        | _kinds("dict", "metadata")
        | _kinds("list", "tags environments")
        | _kinds("date", "created_at last_updated_at"),
    }
)
"""The fields of each entity and their kinds; ``storage.query_match`` says what they hold."""

ALIASES: Mapping[str, str] = MappingProxyType({"total_estimated_cost": "cost_usd"})
"""Opik's names that differ from ours; the parser turns them into ours."""


def takes_key(field: str, kind: FieldKind) -> bool:
    """Return True if conditions on the field may carry a key."""
    return kind in ("dict", "score") or field == "usage"


def needs_key(field: str, kind: FieldKind, operator: Operator) -> bool:
    """Return True if conditions on the field must carry a key."""
    return takes_key(field, kind) and kind != "dict" and operator not in _PRESENCE


def conditions_of(where: Filter) -> Iterator[Condition]:
    """Yield the conditions inside a filter, in the order they are written."""
    if isinstance(where, Condition):
        yield where
        return
    for part in where.parts:
        yield from conditions_of(part)


def fields_of(where: Filter | None) -> frozenset[str]:
    """Return the names of the fields that a filter looks at."""
    return frozenset() if where is None else frozenset(c.field for c in conditions_of(where))
