"""The filter language: parse once, run on every backend.

``parse_filter`` reads text, ``from_opik`` the wire form; ``matches`` decides on records and is the
specification of what filters mean (``query_match``); backends may compile filters to something
faster with the same meaning.
"""

from __future__ import annotations

from opik_eval.storage.query_ast import (
    ALIASES,
    FIELDS,
    NEGATIONS,
    OPERATORS,
    AllOf,
    AnyOf,
    Condition,
    Entity,
    FieldKind,
    Filter,
    Operator,
    conditions_of,
    fields_of,
)
from opik_eval.storage.query_conditions import (
    check_filter,
    date_text,
    join_key,
    parse_number,
    split_key,
)
from opik_eval.storage.query_match import DERIVED, created_at, holds, matches, text_of
from opik_eval.storage.query_parser import parse_filter
from opik_eval.storage.query_wire import format_filter, from_opik, to_opik

__all__ = [
    "ALIASES",
    "DERIVED",
    "FIELDS",
    "NEGATIONS",
    "OPERATORS",
    "AllOf",
    "AnyOf",
    "Condition",
    "Entity",
    "FieldKind",
    "Filter",
    "Operator",
    "check_filter",
    "conditions_of",
    "created_at",
    "date_text",
    "fields_of",
    "format_filter",
    "from_opik",
    "holds",
    "join_key",
    "matches",
    "parse_filter",
    "parse_number",
    "split_key",
    "text_of",
    "to_opik",
]
