"""Filters on traces and spans as SQL, with the meaning that ``opik_eval.storage.query`` gives them.

Numbers, times and scores compare in SQL. Texts and structured values compare by functions that
call the same code as ``matches`` (``sql_functions``), because SQL folds the case of ASCII only and
cannot address every key. Every value and key of a filter is a bound parameter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from opik_eval.storage.file_tables import STRUCTURED, to_microseconds
from opik_eval.storage.query import (
    FIELDS,
    NEGATIONS,
    AllOf,
    Condition,
    Filter,
    Operator,
    check_filter,
    date_text,
)
from opik_eval.storage.sql_functions import encode_condition

Sql = tuple[str, list[object]]
TracedEntity = Literal["trace", "span"]

_LARGEST_INTEGER = 2**63 - 1
_ELAPSED = "(end_time - start_time)"
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "duration": f"{_ELAPSED} / 1000.0",
        "duration_seconds": f"{_ELAPSED} / 1000000.0",
        "ttft": "CASE typeof(ttft_seconds) WHEN 'text' THEN 'NaN' ELSE ttft_seconds * 1000 END",
        "span_count": "(SELECT count(*) FROM spans s WHERE s.trace_id = traces.id)",
        "llm_span_count": "(SELECT count(*) FROM spans s WHERE s.trace_id = traces.id "
        "AND s.type = 'llm')",
    }
)
_SPANS_COST = (
    "(SELECT CASE max(typeof(s.cost_usd)) WHEN 'text' THEN 'NaN' ELSE sum(s.cost_usd) END "
    "FROM spans s WHERE s.trace_id = traces.id)"
)
_SPANS_USAGE = "(SELECT usage_sum(s.usage) FROM spans s WHERE s.trace_id = traces.id)"
# CROSS JOIN keeps SQLite from walking through the scores of all spans for each trace.
_SCORES: Mapping[tuple[TracedEntity, str], str] = MappingProxyType(
    {
        ("trace", "feedback_scores"): "feedback_scores f WHERE f.entity_type = 'trace' "
        "AND f.entity_id = traces.id",
        ("span", "feedback_scores"): "feedback_scores f WHERE f.entity_type = 'span' "
        "AND f.entity_id = spans.id",
        ("trace", "span_feedback_scores"): "spans s CROSS JOIN feedback_scores f "
        "ON f.entity_type = 'span' AND f.entity_id = s.id WHERE s.trace_id = traces.id",
    }
)


def compile_filter(where: Filter | None, entity: TracedEntity) -> Sql:
    """Return a filter as an SQL expression over the entity's table, with its parameters.

    Args:
        where: The filter; ``None`` is true everywhere.
        entity: What is filtered; the table must be called ``traces`` or ``spans`` in the query.

    Raises:
        ConfigError: A condition does not fit the entity.

    Example:
        >>> from opik_eval.storage.query import parse_filter
        >>> compile_filter(parse_filter("ttft_seconds > 0.5", "trace"), "trace")
        ("ifnull((ttft_seconds) > ? AND typeof(ttft_seconds) <> 'text', FALSE)", [0.5])
    """
    check_filter(where, entity)
    return ("TRUE", []) if where is None else _compile(where, entity)


def _compile(where: Filter, entity: TracedEntity) -> Sql:
    if isinstance(where, Condition):
        return _condition(where, entity)
    parts = [_compile(part, entity) for part in where.parts]
    joiner, empty = (" AND ", "TRUE") if isinstance(where, AllOf) else (" OR ", "FALSE")
    sql = joiner.join(part for part, _ in parts) or empty
    return f"({sql})", [value for _, values in parts for value in values]


def _condition(condition: Condition, entity: TracedEntity) -> Sql:
    kind, field = FIELDS[entity][condition.field], condition.field
    operator, is_negated = _split(condition.operator)
    positive = replace(condition, operator=operator)
    if kind == "score":
        found = _score(positive, _SCORES[entity, field])
    elif field == "experiment_id":
        found = _experiment(positive)
    elif kind == "number" and field != "usage":
        found = _number(positive, _number_column(field, entity))
    elif kind == "date":
        found = _date(positive, "created_at(id)" if field == "created_at" else field)
    else:
        function, column = _column(field, entity)
        found = f"{function}({column}, ?)", [encode_condition(kind, positive)]
    return (f"NOT {found[0]}", found[1]) if is_negated else found


def _split(operator: Operator) -> tuple[Operator, bool]:
    """Return an operator that is true of something, and whether its opposite is meant."""
    if operator in ("is_empty", "is_not_empty"):
        return "is_not_empty", operator == "is_empty"
    return NEGATIONS.get(operator, operator), operator in NEGATIONS


def _score(condition: Condition, source: str) -> Sql:
    parts = [f"EXISTS (SELECT 1 FROM {source}"]
    parameters: list[object] = []
    if condition.key:
        parts, parameters = [*parts, "f.name = ?"], [condition.key]
    if condition.operator != "is_not_empty":
        test, values = _number(condition, "f.value")
        parts, parameters = [*parts, test], [*parameters, *values]
    return " AND ".join(parts) + ")", parameters


def _experiment(condition: Condition) -> Sql:
    return (
        "id IN (SELECT i.trace_id FROM experiment_items i WHERE i.trace_id IS NOT NULL "
        "AND i.experiment_id IN (SELECT e.id FROM "
        "(SELECT DISTINCT experiment_id AS id FROM experiment_items) e "
        "WHERE text_holds(e.id, ?)))",
        [encode_condition("string", condition)],
    )


def _number(condition: Condition, column: str) -> Sql:
    if condition.operator == "is_not_empty":
        return f"({column} IS NOT NULL)", []
    # NaN is stored as a text, which SQL takes for greater than every number.
    sql = f"ifnull(({column}) {condition.operator} ? AND typeof({column}) <> 'text', FALSE)"
    return sql, [_bounded(condition.value)]


def _date(condition: Condition, column: str) -> Sql:
    if condition.operator == "is_not_empty":
        return f"({column} IS NOT NULL)", []
    text = str(condition.value)
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if date_text(moment) == text:
            return f"ifnull({column} {condition.operator} ?, FALSE)", [to_microseconds(moment)]
    return f"time_holds({column}, ?)", [encode_condition("date", condition)]


def _number_column(field: str, entity: TracedEntity) -> str:
    if entity == "trace" and field == "cost_usd":
        return _SPANS_COST
    return _NUMBERS.get(field, field)


def _column(field: str, entity: TracedEntity) -> tuple[str, str]:
    """Return a column of texts or structured values, after the function that decides on it."""
    if field == "usage" and entity == "trace":
        return "json_holds", _SPANS_USAGE
    column = field.removesuffix("_json")
    return ("json_holds" if column in STRUCTURED else "text_holds"), f'"{column}"'


def _bounded(value: object) -> object:
    """Return a number that SQLite can hold: integers beyond 64 bits become the nearest double."""
    if not isinstance(value, int) or abs(value) <= _LARGEST_INTEGER:
        return value
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max
