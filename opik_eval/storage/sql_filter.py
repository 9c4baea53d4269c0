"""Filters on traces and spans as SQL, with the meaning that ``opik_eval.storage.query`` gives them.

Numbers, times and scores compare in SQL. How texts and structured values do is for the dialect to
say: what it cannot decide in SQL it lets pass, and the rows are looked at again in Python. Every
value and key of a filter is a bound parameter.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, cast

from opik_eval.records import Record
from opik_eval.storage.metadata_terms import terms_for
from opik_eval.storage.microseconds import to_microseconds
from opik_eval.storage.query import (
    FIELDS,
    NEGATIONS,
    AllOf,
    Condition,
    Filter,
    Operator,
    check_filter,
    date_text,
    matches,
)
from opik_eval.storage.sql_dialect import Dialect, Test

TracedEntity = Literal["trace", "span"]
AreRare = Callable[[str, Sequence[int]], bool]

_EXACT_INTEGER = 2**53
_ELAPSED = "(end_time - start_time)"
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "duration": f"({_ELAPSED} / 1000.0)",
        "duration_seconds": f"({_ELAPSED} / 1000000.0)",
        "ttft": "(ttft_seconds * 1000)",
        "span_count": "(SELECT count(*) FROM spans s WHERE s.trace_id = traces.id)",
        "llm_span_count": "(SELECT count(*) FROM spans s WHERE s.trace_id = traces.id "
        "AND s.type = 'llm')",
    }
)
# CROSS JOIN keeps SQLite from walking through the scores of all spans for each trace.
_SCORES: Mapping[tuple[TracedEntity, str], str] = MappingProxyType(
    {
        ("trace", "feedback_scores"): "feedback_scores f WHERE f.entity_type = 'trace' "
        "AND f.entity_id = traces.id",
        ("span", "feedback_scores"): "feedback_scores f WHERE f.entity_type = 'span' "
        "AND f.entity_id = spans.id",
        ("trace", "span_feedback_scores"): "spans s CROSS JOIN feedback_scores f "
        "WHERE f.entity_type = 'span' AND f.entity_id = s.id AND s.trace_id = traces.id",
    }
)
_EXPERIMENTS = (
    "(SELECT json_agg(i.experiment_id) FROM experiment_items i WHERE i.trace_id = traces.id)"
)
Decide = Callable[[Record, Sequence[object]], bool]


@dataclass(frozen=True)
class CompiledFilter:
    """A filter as SQL and, where SQL alone does not decide, what Python has to look at.

    Attributes:
        sql: An expression over the entity's table that is true of all records sought.
        parameters: Its values.
        columns: Expressions that ``holds`` asks for, to be selected after the record's columns.
        column_parameters: Their values.
        holds: Decides on a record and the values of ``columns``; ``None`` if ``sql`` did.
    """

    sql: str = "TRUE"
    parameters: list[object] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    column_parameters: list[object] = field(default_factory=list)
    holds: Decide | None = None


def compile_filter(
    where: Filter | None,
    entity: TracedEntity,
    dialect: Dialect,
    are_rare: AreRare = lambda *_: True,
) -> CompiledFilter:
    """Return a filter as SQL over the entity's table.

    Args:
        where: The filter; ``None`` is true everywhere.
        entity: What is filtered; the table must be called ``traces`` or ``spans`` in the query.
        dialect: What the database says in its own way.
        are_rare: Whether few rows of a table have some terms, so that looking them up is worth it.

    Raises:
        ConfigError: A condition does not fit the entity.
    """
    check_filter(where, entity)
    if where is None:
        return CompiledFilter()
    compiler = _Compiler(entity, dialect, are_rare)
    test, decide = compiler.compile(where)
    if test.is_exact:
        return CompiledFilter(test.sql, test.parameters)
    return CompiledFilter(
        test.sql, test.parameters, compiler.columns, compiler.column_parameters, decide
    )


class _Compiler:
    """Compiles one filter; gathers the columns that its conditions need to be looked at again."""

    def __init__(self, entity: TracedEntity, dialect: Dialect, are_rare: AreRare) -> None:
        self.columns: list[str] = []
        self.column_parameters: list[object] = []
        self._entity: TracedEntity = entity
        self._dialect = dialect
        self._are_rare = are_rare

    def compile(self, where: Filter) -> tuple[Test, Decide]:
        if isinstance(where, Condition):
            return self._condition(where)
        parts = [self.compile(part) for part in where.parts]
        joiner, empty = (" AND ", "TRUE") if isinstance(where, AllOf) else (" OR ", "FALSE")
        together = all if isinstance(where, AllOf) else any
        test = Test(
            f"({joiner.join(test.sql for test, _ in parts) or empty})",
            [value for test, _ in parts for value in test.parameters],
            all(test.is_exact for test, _ in parts),
        )
        return test, lambda record, tail: together(decide(record, tail) for _, decide in parts)

    def _condition(self, condition: Condition) -> tuple[Test, Decide]:
        operator, is_negated = _split(condition.operator)
        test = self._positive(replace(condition, operator=operator), is_negated=is_negated)
        if is_negated:
            test = replace(test, sql=f"NOT {test.sql}") if test.is_exact else _anything()
        if not test.is_exact:
            return test, self._again(condition)
        place = len(self.columns)
        self._select(test.sql, test.parameters)
        return test, lambda _, tail: bool(tail[place])

    def _positive(self, condition: Condition, *, is_negated: bool) -> Test:
        kind, name = FIELDS[self._entity][condition.field], condition.field
        if kind == "score":
            return self._score(condition, _SCORES[self._entity, name])
        if name == "experiment_id":
            return self._experiment(condition)
        if kind == "number" and name != "usage":
            return self._number(condition)
        if kind == "date":
            return self._date(condition)
        return self._value(condition, is_negated=is_negated)

    def _value(self, condition: Condition, *, is_negated: bool) -> Test:
        """Return the test of a text or a structured value."""
        kind, name = FIELDS[self._entity][condition.field], condition.field
        if name == "usage" and self._entity == "trace":
            return self._dialect.value_holds(kind, self._dialect.usage_of_trace, condition)
        column = f'{self._entity}s."{name.removesuffix("_json")}"'
        test = self._dialect.value_holds(kind, column, condition)
        terms = terms_for(condition) if name == "metadata" and not is_negated else None
        if terms is None or not self._are_rare(f"{self._entity}s", terms):
            return test
        indexed = self._dialect.has_terms(f"{self._entity}s", terms)
        return Test(
            f"({indexed.sql} AND {test.sql})",
            [*indexed.parameters, *test.parameters],
            test.is_exact,
        )

    def _score(self, condition: Condition, source: str) -> Test:
        parts = [f"EXISTS (SELECT 1 FROM {source}"]
        parameters: list[object] = []
        if condition.key:
            parts, parameters = [*parts, "f.name = ?"], [condition.key]
        if condition.operator != "is_not_empty":
            sql, values = self._compared("f.value", self._dialect.is_nan("f.value"), condition)
            parts, parameters = [*parts, sql], [*parameters, *values]
        return Test(" AND ".join(parts) + ")", parameters)

    def _experiment(self, condition: Condition) -> Test:
        inner = self._dialect.value_holds("string", "i.experiment_id", condition)
        sql = (
            "id IN (SELECT i.trace_id FROM experiment_items i "
            f"WHERE i.trace_id IS NOT NULL AND {inner.sql})"
        )
        return replace(inner, sql=sql)

    def _number(self, condition: Condition) -> Test:
        column = _NUMBERS.get(condition.field, condition.field)
        nan = "FALSE"
        if condition.field in ("ttft", "ttft_seconds"):
            nan = self._dialect.is_nan("ttft_seconds")
        if condition.field == "cost_usd":
            if self._entity == "trace":
                total = self._dialect.total("s.cost_usd")
                column = f"(SELECT {total} FROM spans s WHERE s.trace_id = traces.id)"
            nan = self._dialect.is_nan(column)
        if condition.operator == "is_not_empty":
            return Test(f"({column} IS NOT NULL)")
        return Test(*self._compared(column, nan, condition))

    def _compared(self, column: str, nan: str, condition: Condition) -> tuple[str, list[object]]:
        operator, value = _within_doubles(condition)
        if value is None:
            return "FALSE", []
        return f"coalesce({column} {operator} ? AND NOT {nan}, FALSE)", [value]

    def _date(self, condition: Condition) -> Test:
        is_made = condition.field == "created_at"
        comparison, parameters = "IS NOT NULL", list[object]()
        if condition.operator != "is_not_empty":
            moment = _moment(str(condition.value))
            if moment is None:
                return self._dialect.value_holds(
                    "date", f"{self._entity}s.{'id' if is_made else condition.field}", condition
                )
            comparison, parameters = f"{condition.operator} ?", [moment]
        if is_made:
            return replace(self._dialect.moment_of("id", comparison), parameters=parameters)
        return Test(f"coalesce({condition.field} {comparison}, FALSE)", parameters)

    def _again(self, condition: Condition) -> Decide:
        """Return what decides on a record in Python, with the values that the record lacks."""
        name, place = condition.field, len(self.columns)
        if name == "experiment_id":
            self._select(_EXPERIMENTS, [])
            text = self._dialect.text
            return lambda record, tail: matches(
                condition, record, {name: [text(found) for found in _many(tail[place])]}
            )
        if name == "usage" and self._entity == "trace":
            self._select(self._dialect.usage_of_trace, [])
            return lambda record, tail: matches(condition, record, {name: _summed(tail[place])})
        return lambda record, _: matches(condition, record)

    def _select(self, column: str, parameters: list[object]) -> None:
        self.columns.append(column)
        self.column_parameters += parameters


def _anything() -> Test:
    return Test("TRUE", [], is_exact=False)


def _many(found: object) -> Sequence[object]:
    return cast("Sequence[object]", found or ())


def _summed(usages: object) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for usage in _many(usages):
        total.update(cast("Mapping[str, int]", usage))
    return total


def _split(operator: Operator) -> tuple[Operator, bool]:
    """Return an operator that is true of something, and whether its opposite is meant."""
    if operator in ("is_empty", "is_not_empty"):
        return "is_not_empty", operator == "is_empty"
    return NEGATIONS.get(operator, operator), operator in NEGATIONS


def _moment(text: str) -> int | None:
    """Return the microseconds of a time as filters write it; ``None`` for other texts."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if date_text(moment) == text:
            return to_microseconds(moment)
    return None


def _within_doubles(condition: Condition) -> tuple[str, float | None]:
    """Return a comparison with a number that every database holds exactly.

    An integer between two doubles compares like the double on the right side of it. ``None`` stands
    for a comparison that no number satisfies.
    """
    operator, value = condition.operator, cast("float | int", condition.value)
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return operator, None
    if isinstance(value, float) or abs(value) <= _EXACT_INTEGER:
        return operator, value
    try:
        near = float(value)
    except OverflowError:
        near = sys.float_info.max if value > 0 else -sys.float_info.max
    if near == value:
        return operator, near
    if operator == "=":
        return operator, None
    is_greater = operator.startswith(">")
    if near < value:
        return (">" if is_greater else "<="), near
    return (">=" if is_greater else "<"), near
