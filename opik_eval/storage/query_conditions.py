"""One condition: its key as a path, its value in the right type, and errors that help."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from opik_eval.errors import ConfigError
from opik_eval.storage.query_ast import (
    ALIASES,
    FIELDS,
    OPERATORS,
    Condition,
    Entity,
    FieldKind,
    Filter,
    Operator,
    conditions_of,
    needs_key,
    takes_key,
)

_BARE_SEGMENT = re.compile(r"""[^\s."'()\[\],=<>!\\]+""")
_SEGMENT = re.compile(
    r"""\[(?P<index>\d+)\]|\[?"(?P<quoted>(?:[^"\\]|\\.)*)"\]?|(?P<bare>[^.\[]+)|\."""
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def split_key(key: str) -> tuple[str, ...]:
    """Return the segments of a dictionary key: ``a."b.c"[0]`` gives ``("a", "b.c", "0")``.

    A segment of digits is an index where it meets a list and a name where it meets an object.
    """
    segments: list[str] = []
    for match in _SEGMENT.finditer(key):
        if match["quoted"] is not None:
            segments.append(re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL))
        elif found := match["index"] or match["bare"]:
            segments.append(found)
    return tuple(segments)


def join_key(segments: Iterable[str]) -> str:
    """Return the key of a path; the inverse of ``split_key``."""
    return ".".join(s if _BARE_SEGMENT.fullmatch(s) else quoted(s) for s in segments)


def quoted(text: str) -> str:
    """Return a text between double quotes, as the filter language writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_number(text: str) -> float | None:
    """Return the number a text holds, written as JSON does; ``None`` for any other text."""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def date_text(moment: datetime) -> str:
    """Return a time as filters write it; the order of the texts is the order of the times."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def make_condition(
    entity: Entity,
    field: str,
    key: str,
    operator: Operator,
    values: Sequence[str],
) -> Condition:
    """Return the condition that raw texts describe.

    Args:
        entity: What is filtered.
        field: Name of a field, ours or Opik's.
        key: Key inside the field, ``""`` for none.
        operator: How to compare.
        values: One text; any number for ``in`` and ``not_in``; none for ``is_empty``.

    Raises:
        ConfigError: The entity has no such field, the field no such operator or key, or the value
            has the wrong type.
    """
    field = ALIASES.get(field, field)
    kind = check_field(entity, field, key, operator)
    if operator in ("is_empty", "is_not_empty"):
        return Condition(field, operator, None, key)
    if operator in ("in", "not_in"):
        return Condition(field, operator, tuple(values), key)
    (text,) = values
    return Condition(field, operator, _typed(kind, field, text), key)


def check_field(entity: Entity, field: str, key: str, operator: Operator) -> FieldKind:
    """Return the kind of a field after checking that it offers the key and the operator."""
    kind = FIELDS[entity].get(field)
    if kind is None:
        raise ConfigError(
            f"unknown field {field!r} of a {entity}",
            remedy=suggestion(field, FIELDS[entity], "fields"),
        )
    if operator not in OPERATORS[kind]:
        raise ConfigError(
            f"field {field!r} ({kind}) has no operator {operator!r}",
            remedy=f"use one of: {', '.join(OPERATORS[kind])}",
        )
    if key and not takes_key(field, kind):
        raise ConfigError(
            f"field {field!r} ({kind}) takes no key, but got {key!r}",
            remedy=f"write {field} {operator} ... without the part after the dot",
        )
    if not key and needs_key(field, kind, operator):
        raise ConfigError(
            f"field {field!r} needs a key", remedy=f"write {field}.NAME {operator} ..."
        )
    return kind


def check_filter(where: Filter | None, entity: Entity) -> None:
    """Check a filter built by hand, as the parser checks those it reads.

    Raises:
        ConfigError: A condition does not fit the entity.
    """
    for condition in () if where is None else conditions_of(where):
        kind = check_field(entity, condition.field, condition.key, condition.operator)
        if not _fits(kind, condition):
            raise ConfigError(
                f"{condition.field} {condition.operator} cannot take {condition.value!r}",
                remedy="build the filter with parse_filter, which converts values",
            )


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """Return a remedy that names the nearest known word, if one is near, and all the others."""
    names = sorted(known)
    near = difflib.get_close_matches(word.lower(), names, n=1)
    listed = f"known {what}: {', '.join(names)}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def _fits(kind: FieldKind, condition: Condition) -> bool:
    value = condition.value
    if condition.operator in ("is_empty", "is_not_empty"):
        return value is None
    if condition.operator in ("in", "not_in"):
        return isinstance(value, tuple)
    if kind in ("number", "score"):
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, str)


def _typed(kind: FieldKind, field: str, text: str) -> str | float:
    if kind in ("number", "score"):
        number = parse_number(text.strip())
        if number is None:
            raise ConfigError(
                f"{field} is a number, but {text!r} is not", remedy="write a number such as 0.5"
            )
        return number
    if kind == "date":
        try:
            return date_text(datetime.fromisoformat(text))
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"{field} is a date, but {text!r} is not",
                remedy="write an ISO 8601 date such as 2026-01-31T12:00:00Z",
            ) from error
    return text
