"""Filters of requests, in both forms in which they travel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar, cast

from opik_eval.errors import ConfigError
from opik_eval.server.bodies import parse_json
from opik_eval.server.failures import FrameworkError, bad_request
from opik_eval.storage.query import (
    OPERATORS,
    AllOf,
    AnyOf,
    Condition,
    Entity,
    FieldKind,
    Filter,
    from_opik,
    holds,
)

T = TypeVar("T")

_OWN: Mapping[Entity, Mapping[str, FieldKind]] = MappingProxyType(
    {
        "trace": {"guardrails": "string", "annotation_queue_ids": "list", "created_by": "string"},
        "span": {"created_by": "string"},
        "thread": {
            "status": "enum",
            "environment": "enum",
            "tags": "list",
            "annotation_queue_ids": "list",
            "created_at": "date",
            "last_updated_at": "date",
        },
        "dataset_item": {"created_by": "string", "last_updated_by": "string"},
        "experiment": {"feedback_scores": "score"},
        "prompt_version": {"created_by": "string"},
    }
)
"""Fields that only the server knows; ``Wanted.decide`` gets their values from the route."""
_LIKE: Mapping[FieldKind, str] = MappingProxyType(
    {
        "string": "name",
        "enum": "environment",
        "list": "tags",
        "date": "start_time",
        "dict": "metadata",
        "number": "duration",
        "score": "feedback_scores",
        "error": "error_info",
    }
)
"""A field of traces of each kind."""


@dataclass(frozen=True)
class Wanted:
    """A filter in two parts.

    Attributes:
        stored: What the storage decides; ``None`` = nothing to decide.
        own: Conditions on fields that only the server knows; all must hold.
    """

    stored: Filter | None = None
    own: tuple[tuple[FieldKind, Condition], ...] = ()

    def also(self, *conditions: Condition | AllOf | AnyOf) -> Wanted:
        """Return this filter with further conditions for the storage."""
        if not conditions:
            return self
        parts = (() if self.stored is None else (self.stored,)) + conditions
        return replace(self, stored=AllOf(parts))

    def decide(
        self, rows: Iterable[T], values_of: Callable[[T], Mapping[str, object]]
    ) -> Iterator[T]:
        """Yield the rows for which the server's own conditions hold.

        Args:
            rows: What the storage found.
            values_of: Returns the values of a row's own fields; called only for conditions.
        """
        if not self.own:
            yield from rows
            return
        for row in rows:
            values = values_of(row)
            if all(holds(kind, c, values.get(c.field)) for kind, c in self.own):
                yield row


def wanted(given: object, entity: Entity) -> Wanted:
    """Return the filter that a request holds.

    Args:
        given: List of conditions, or JSON text of one, or ``None``.
        entity: What is filtered.

    Raises:
        RefusedError: It is no such list, or a condition makes no sense (400).
    """
    entries = _entries(given)
    own = [e for e in entries if str(e.get("field")) in _OWN[entity]]
    try:
        found = from_opik([e for e in entries if e not in own], entity)
        stored = None if found == AllOf(()) else found
        return Wanted(stored, tuple(_own_condition(e, _OWN[entity]) for e in own))
    except ConfigError as error:
        raise bad_request(f"Invalid filters query parameter: {error}") from None


def wanted_of(given: object, fields: Mapping[str, FieldKind]) -> Wanted:
    """Return the filter that a request for a short list holds; the server decides all of it.

    Args:
        given: List of conditions, or JSON text of one, or ``None``.
        fields: The fields of the rows and their kinds.

    Raises:
        RefusedError: It is no such list, or a condition makes no sense (400).
    """
    try:
        return Wanted(None, tuple(_own_condition(e, fields) for e in _entries(given)))
    except ConfigError as error:
        raise bad_request(f"Invalid filters query parameter: {error}") from None


def text_search(search: str | None, *fields: str) -> tuple[AnyOf, ...]:
    """Return the condition that some field contains a text; none for no text."""
    if not search:
        return ()
    return (AnyOf(tuple(Condition(field, "contains", search) for field in fields)),)


def _entries(given: object) -> list[Mapping[str, object]]:
    if given is None or given == "":
        return []
    if isinstance(given, str):
        try:
            given = parse_json(given.encode("utf-8", "surrogatepass"))
        except FrameworkError:
            raise bad_request("filters is not JSON") from None
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(e, dict) for e in given):
        raise bad_request("filters must be a list of objects with field, operator and value")
    return cast("list[Mapping[str, object]]", given)


def _own_condition(
    entry: Mapping[str, object], fields: Mapping[str, FieldKind]
) -> tuple[FieldKind, Condition]:
    """Return a condition on a field of the server, checked by that of a like field of traces."""
    field = str(entry.get("field"))
    if field not in fields:
        raise ConfigError(f"unknown field {field!r}", remedy=f"fields: {', '.join(sorted(fields))}")
    kind = fields[field]
    if entry.get("operator") not in OPERATORS[kind]:
        raise ConfigError(
            f"field {field!r} ({kind}) has no operator {entry.get('operator')!r}",
            remedy=f"use one of: {', '.join(OPERATORS[kind])}",
        )
    checked = from_opik([{**entry, "field": _LIKE[kind]}], "trace")
    assert isinstance(checked, Condition)
    return kind, replace(checked, field=field)
