"""Filters as text and in the form in which Opik's REST interface carries them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast, get_args

from opik_eval.errors import ConfigError
from opik_eval.storage.query_ast import (
    ALIASES,
    FIELDS,
    AllOf,
    AnyOf,
    Condition,
    Entity,
    Filter,
    Operator,
)
from opik_eval.storage.query_conditions import (
    join_key,
    make_condition,
    quoted,
    split_key,
    suggestion,
)

_OPIK_NAMES = {ours: theirs for theirs, ours in ALIASES.items()}
_SECONDS = {"duration_seconds": "duration", "ttft_seconds": "ttft"}
_OPERATORS = frozenset(get_args(Operator))


def format_filter(where: Filter) -> str:
    """Return the text of a filter; ``parse_filter`` of it gives the filter back.

    Raises:
        ConfigError: The filter holds an ``AnyOf`` without parts, which no text can say.

    Example:
        >>> from opik_eval.storage.query import parse_filter
        >>> format_filter(parse_filter("name='a' and (duration>5 or tags contains x)", "trace"))
        'name = "a" and (duration > 5 or tags contains "x")'
    """
    if isinstance(where, Condition):
        return _format_condition(where)
    if isinstance(where, AnyOf) and not where.parts:
        raise ConfigError("a filter without alternatives (AnyOf(())) cannot be written as text")
    word = " and " if isinstance(where, AllOf) else " or "
    return word.join(_format_part(part, inside=where) for part in where.parts if part != AllOf(()))


def to_opik(where: Filter) -> list[dict[str, str]]:
    """Return a filter as Opik's list of conditions, all of which must hold; values are texts.

    Raises:
        ConfigError: The filter holds an ``or``, which Opik's filters cannot express.
    """
    if isinstance(where, AnyOf):
        if len(where.parts) != 1:
            raise ConfigError(
                f"Opik's filters have no `or`, but this one has: {format_filter(where)}"
                if where.parts
                else "Opik's filters cannot express a filter without alternatives (AnyOf(()))",
                remedy="ask once for each alternative and join the results",
            )
        return to_opik(where.parts[0])
    if isinstance(where, AllOf):
        return [entry for part in where.parts for entry in to_opik(part)]
    return [_entry(where)]


def from_opik(entries: Iterable[Mapping[str, object]], entity: Entity) -> Filter:
    """Return the filter that Opik's list of conditions describes.

    Args:
        entries: Objects with ``field``, ``operator``, ``value`` and, for some, ``key``.
        entity: What is filtered.

    Raises:
        ConfigError: An entry lacks a part, or names an unknown field or operator.
    """
    parts = tuple(
        _condition(entry, entity, position) for position, entry in enumerate(entries, start=1)
    )
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _format_part(part: Filter, inside: Filter) -> str:
    text = format_filter(part)
    needs_parentheses = not isinstance(part, Condition) and len(part.parts) > 1
    return f"({text})" if needs_parentheses and not _binds(part, inside) else text


def _binds(part: Filter, inside: Filter) -> bool:
    return isinstance(part, AllOf) and isinstance(inside, AnyOf)


def _format_condition(condition: Condition) -> str:
    name = f"{condition.field}{_format_key(condition)} {condition.operator}"
    value = condition.value
    if value is None:
        return name
    if isinstance(value, tuple):
        return f"{name} ({', '.join(quoted(member) for member in value)})"
    return f"{name} {quoted(value) if isinstance(value, str) else _number_text(value)}"


def _format_key(condition: Condition) -> str:
    if not condition.key:
        return ""
    names = any(fields.get(condition.field) == "score" for fields in FIELDS.values())
    segments = (condition.key,) if names else split_key(condition.key)
    return "." + join_key(segments)


def _number_text(value: float) -> str:
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(float(value))


def _entry(condition: Condition) -> dict[str, str]:
    field, key, value = condition.field, condition.key, condition.value
    if field in _SECONDS:
        field = _SECONDS[field]
        value = value * 1000 if isinstance(value, int | float) else value
    if field == "usage" and key:
        field, key = f"usage.{key}", ""
    if isinstance(value, tuple):
        text = ",".join(value)
    elif isinstance(value, str):
        text = value
    else:
        text = "" if value is None else _number_text(value)
    return {
        "field": _OPIK_NAMES.get(field, field),
        "key": key,
        "operator": condition.operator,
        "value": text,
    }


def _condition(entry: Mapping[str, object], entity: Entity, position: int) -> Condition:
    where = f"filter {position} ({dict(entry)})"
    parts = {name: entry.get(name) for name in ("field", "operator", "value", "key")}
    for name, part in parts.items():
        optional = name in ("key", "value")
        if not isinstance(part, str) and not (optional and part is None):
            raise ConfigError(
                f"{where}: {name} is {part!r}, not a text",
                remedy="give field, operator, value and, inside dictionaries, key as texts",
            )
    operator = str(parts["operator"])
    if operator not in _OPERATORS:
        raise ConfigError(
            f"{where}: unknown operator {operator!r}",
            remedy=suggestion(operator, _OPERATORS, "operators"),
        )
    field, key = str(parts["field"]), str(parts["key"] or "")
    if field.startswith("usage."):
        field, key = field.split(".", 1)
    text = str(parts["value"] or "")
    values = [v.strip() for v in text.split(",")] if operator in ("in", "not_in") else [text]
    if FIELDS[entity].get(field) == "dict":
        key = join_key(split_key(key))
    try:
        return make_condition(entity, field, key, cast("Operator", operator), values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", remedy=error.remedy) from error
