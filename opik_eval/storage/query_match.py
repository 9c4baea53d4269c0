"""Filters evaluated in memory; the meaning that every backend's filters have.

**What a field holds.** A field of a record holds the candidates that a condition looks at:

- *string, enum*: the text, if there is one. ``input``, ``output``, ``first_message`` and
  ``last_message`` are texts themselves or else canonical JSON (``serialization.dumps``);
  ``full_data`` is the canonical JSON of an item's data; ``version_number`` is ``v1``, ``v2`` ...
- *number*: the number. ``duration`` is end minus start in whole microseconds divided by 1000
  (milliseconds), ``duration_seconds`` by 1 000 000; ``ttft`` is ``ttft_seconds * 1000``.
- *date*: the time to the microsecond. ``created_at`` of a trace or span is the time inside its
  UUIDv7, if it is one.
- *dict*: the value at the path ``split_key(key)``, the whole of it without a key. A segment of
  digits is an index where it meets a list. JSON's null counts as missing. ``input_json`` and
  ``output_json`` are ``input`` and ``output``.
- *list*: each member. *score*: the values of that name, one per author; without a key all values.
- Not in the record but given as ``extras`` (``DERIVED`` says which): scores; a trace's ``usage``
  and ``cost_usd`` (sums over its spans of what is known), ``span_count``, ``llm_span_count`` and
  ``experiment_id`` (the experiments it is an item's trace of).

**How a condition decides.** It is true where some candidate satisfies it. ``!=``,
``not_contains``, ``not_in`` and ``is_not_empty`` are true exactly where ``=``, ``contains``, ``in``
and ``is_empty`` are false. So of a missing value only ``is_empty``, ``!=``, ``not_contains`` and
``not_in`` are true. ``is_empty`` is true where every candidate is ``""``, ``[]`` or ``{}``, so also
where there is none.

**How values compare.** Numbers as IEEE doubles, dates by time. Texts by the code points of their
``casefold``, so without regard to case. Inside dictionaries, a number compares as a number if the
filter's value reads as one (``parse_number``) and the operator is a comparison or a membership; all
else compares as text, where a value that is no text is its canonical JSON (``true``, ``1.5``,
``{"a":1}``). Keys and names of scores compare exactly.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import cast

from opik_eval.errors import ConfigError
from opik_eval.ids import time_of
from opik_eval.records import (
    DatasetItem,
    Experiment,
    PromptVersion,
    Record,
    Span,
    Thread,
    Trace,
)
from opik_eval.serialization import dumps
from opik_eval.storage.query_ast import (
    FIELDS,
    NEGATIONS,
    AllOf,
    Condition,
    Entity,
    FieldKind,
    Filter,
    Operator,
)
from opik_eval.storage.query_conditions import check_field, date_text, parse_number, split_key

DERIVED: Mapping[Entity, frozenset[str]] = MappingProxyType(
    {
        "trace": frozenset(
            {
                "feedback_scores",
                "span_feedback_scores",
                "usage",
                "cost_usd",
                "span_count",
                "llm_span_count",
                "experiment_id",
            }
        ),
        "span": frozenset({"feedback_scores"}),
        "thread": frozenset({"feedback_scores"}),
        "dataset_item": frozenset(),
        "experiment": frozenset(),
        "prompt_version": frozenset(),
    }
)
"""Fields whose values come from ``extras``: scores are mappings of names to sequences of values,
``usage`` is a mapping, ``experiment_id`` a sequence, the others are numbers or absent."""

_ENTITIES: Mapping[type[Record], Entity] = MappingProxyType(
    {
        Trace: "trace",
        Span: "span",
        Thread: "thread",
        DatasetItem: "dataset_item",
        Experiment: "experiment",
        PromptVersion: "prompt_version",
    }
)
_NOTHING: Mapping[str, object] = MappingProxyType({})
_MICROSECOND = timedelta(microseconds=1)


def matches(where: Filter | None, record: Record, extras: Mapping[str, object] = _NOTHING) -> bool:
    """Return True where a record satisfies a filter; the module's docstring has the rules.

    Args:
        where: The filter; ``None`` is true everywhere.
        record: A trace, span, thread, dataset item, experiment or prompt version.
        extras: Values of the ``DERIVED`` fields that the filter looks at.

    Raises:
        ConfigError: The filter names a field or operator that the record has not.

    Example:
        >>> from opik_eval.storage.query import parse_filter
        >>> where = parse_filter('name = "ASK" and metadata.tries >= 2', "trace")
        >>> matches(where, Trace(id="1", name="ask", metadata={"tries": 10}))
        True
    """
    if where is None:
        return True
    if isinstance(where, Condition):
        return _decide(where, record, extras)
    if isinstance(where, AllOf):
        return all(matches(part, record, extras) for part in where.parts)
    return any(matches(part, record, extras) for part in where.parts)


def text_of(value: object) -> str:
    """Return the text by which a JSON value compares."""
    return value if isinstance(value, str) else dumps(value).decode()


def created_at(identifier: str) -> datetime | None:
    """Return the time inside an id; ``None`` if it is no UUIDv7."""
    try:
        return time_of(identifier)
    except ConfigError:
        return None


def _decide(condition: Condition, record: Record, extras: Mapping[str, object]) -> bool:
    entity = _ENTITIES.get(type(record))
    if entity is None:
        raise ConfigError(f"records of type {type(record).__name__} cannot be filtered")
    field, operator = condition.field, condition.operator
    kind = FIELDS[entity].get(field) or check_field(entity, field, condition.key, operator)
    value = extras.get(field) if field in DERIVED[entity] else _value(record, field)
    return holds(kind, condition, value)


def holds(kind: FieldKind, condition: Condition, value: object) -> bool:
    """Return True where the value of a condition's field satisfies it.

    Args:
        kind: Kind of the field.
        condition: What to check.
        value: What the record, or ``extras``, has for the field; ``None`` = missing.
    """
    operator = condition.operator
    candidates = () if value is None else _candidates(kind, condition.key, value)
    positive = NEGATIONS.get(operator, operator)
    if positive == "is_empty":
        true = all(candidate in ("", [], {}) for candidate in candidates)
    else:
        true = any(_satisfies(kind, positive, c, condition.value) for c in candidates)
    return true if positive == operator else not true


def _candidates(kind: FieldKind, key: str, value: object) -> Sequence[object]:
    if kind == "score":
        return _scores(cast("Mapping[str, object]", value), key)
    if kind == "list":
        return tuple(cast("Iterable[object]", value))
    if kind == "dict" or key:
        found = _at(value, split_key(key) if kind == "dict" else (key,))
        return () if found is None else (found,)
    if kind == "date":
        return (date_text(cast("datetime", value)),)
    return (text_of(value),) if kind in ("string", "enum") else (value,)


def _value(record: Record, field: str) -> object:
    if field in _COMPUTED:
        return _COMPUTED[field](record)
    if field == "created_at" and isinstance(record, Trace | Span):
        return created_at(record.id)
    return cast("object", getattr(record, field))


def _at(value: object, path: Sequence[str]) -> object:
    for segment in path:
        if isinstance(value, Mapping):
            value = value.get(segment)
        elif isinstance(value, list | tuple) and segment.isdecimal() and segment.isascii():
            value = value[int(segment)] if int(segment) < len(value) else None
        else:
            return None
    return value


def _scores(values: Mapping[str, object], name: str) -> tuple[object, ...]:
    found = [values[name]] if name in values else [] if name else list(values.values())
    flat: list[object] = []
    for value in found:
        flat.extend(value if isinstance(value, list | tuple) else [value])
    return tuple(flat)


def _satisfies(kind: FieldKind, operator: Operator, candidate: object, value: object) -> bool:
    if operator == "in":
        members = cast("Iterable[str]", value)
        return any(_satisfies(kind, "=", candidate, member) for member in members)
    if kind in ("number", "score"):
        return _COMPARE[operator](_double(candidate), value)
    text = str(value)
    if kind == "dict" and operator in _COMPARE and _is_number(candidate):
        number = parse_number(text)
        if number is not None:
            return _COMPARE[operator](_double(candidate), number)
    decide = _COMPARE.get(operator) or _PARTS[operator]
    return decide(text_of(candidate).casefold(), text.casefold())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _double(value: object) -> float:
    try:
        return float(cast("float", value))
    except OverflowError:  # an integer beyond the doubles
        return float("inf") if cast("int", value) > 0 else float("-inf")


def _elapsed(record: Record, unit: int) -> float | None:
    timed = cast("Trace", record)
    if timed.start_time is None or timed.end_time is None:
        return None
    return (timed.end_time - timed.start_time) // _MICROSECOND / unit


def _ttft_milliseconds(record: Record) -> float | None:
    seconds = cast("Trace", record).ttft_seconds
    return None if seconds is None else seconds * 1000


_COMPUTED: Mapping[str, Callable[[Record], object]] = MappingProxyType(
    {
        "duration": lambda record: _elapsed(record, 1_000),
        "duration_seconds": lambda record: _elapsed(record, 1_000_000),
        "ttft": _ttft_milliseconds,
        "input_json": lambda record: cast("Trace", record).input,
        "output_json": lambda record: cast("Trace", record).output,
        "full_data": lambda record: cast("DatasetItem", record).data,
        "version_number": lambda record: f"v{cast('PromptVersion', record).number}",
    }
)

_COMPARE: Mapping[str, Callable[..., bool]] = MappingProxyType(
    {
        "=": operators.eq,
        ">": operators.gt,
        ">=": operators.ge,
        "<": operators.lt,
        "<=": operators.le,
    }
)
_PARTS: Mapping[str, Callable[..., bool]] = MappingProxyType(
    {"contains": operators.contains, "starts_with": str.startswith, "ends_with": str.endswith}
)
