"""The reader of the filter language.

Grammar, with words in any case::

    filter    := any | nothing
    any       := all ("or" all)*
    all       := single ("and" single)*
    single    := "(" any ")" | condition
    condition := field ("." segment | "[" index "]")* operator value?
    value     := text in quotes | bare word | "(" value ("," value)* ")"

Inside quotes a quote is written twice or with a backslash before it.
"""

from __future__ import annotations

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
from opik_eval.storage.query_conditions import join_key, make_condition, suggestion
from opik_eval.storage.query_tokens import Token, Tokens

_MAX_DEPTH = 50
_OPERATORS = frozenset(get_args(Operator))
_KEYWORDS = frozenset({"and", "or"})
_KEYED_TEXTS = {"input": "input_json", "output": "output_json"}
_CLOSING = {"(": ")", "[": "]"}


def parse_filter(text: str, entity: Entity) -> Filter:
    """Return the filter that a text describes.

    The language is Opik's plus ``or``, parentheses, numbers inside dictionaries and list indices.

    Args:
        text: Such as ``metadata.model = "gpt" and (duration > 1500 or tags contains "slow")``;
            a blank text selects everything.
        entity: What is filtered.

    Raises:
        ConfigError: The text does not parse, or names an unknown field or operator; the message
            says where.

    Example:
        >>> parse_filter("feedback_scores.accuracy > 0.5", "trace")
        Condition(field='feedback_scores', operator='>', value=0.5, key='accuracy')
    """
    return _Parser(text, entity).parse()


class _Parser:
    def __init__(self, text: str, entity: Entity) -> None:
        self.entity = entity
        self.fields = FIELDS[entity]
        self.tokens = Tokens(text)
        self.depth = 0

    def parse(self) -> Filter:
        if self.tokens.peek().kind == "end":
            return AllOf(())
        found = self._any()
        if self.tokens.peek().kind != "end":
            self.tokens.fail(self.tokens.peek(), "expected `and`, `or` or the end")
        return found

    def _any(self) -> Filter:
        parts = [self._all()]
        while self.tokens.accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._single()]
        while self.tokens.accept("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _single(self) -> Filter:
        opening = self.tokens.peek()
        if not self.tokens.accept("("):
            return self._condition()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.tokens.fail(opening, f"parentheses are nested deeper than {_MAX_DEPTH}")
        found = self._any()
        self.tokens.expect(")")
        self.depth -= 1
        return found

    def _condition(self) -> Condition:
        start = self.tokens.peek()
        field, segments = self._path()
        operator = self._operator()
        values = self._values(operator)
        if segments and field in _KEYED_TEXTS:
            field = _KEYED_TEXTS[field]
        is_dict = self.fields.get(field) == "dict"
        key = join_key(segments) if is_dict else ".".join(segments)
        try:
            return make_condition(self.entity, field, key, operator, values)
        except ConfigError as error:
            self.tokens.fail(start, error.message, error.remedy)

    def _path(self) -> tuple[str, list[str]]:
        first = self.tokens.next()
        if first.kind != "word" or first.text.lower() in _KEYWORDS:
            self.tokens.fail(first, "expected a field", suggestion("", self.fields, "fields"))
        field, *segments = _names(first) or [""]
        self._check_field(first, field)
        while self.tokens.continues_path():
            if self.tokens.accept("["):
                index = self.tokens.next()
                if index.kind not in ("word", "text"):
                    self.tokens.fail(index, "expected an index")
                segments.append(index.value)
                self.tokens.expect("]")
                continue
            token = self.tokens.next()
            segments.extend([token.value] if token.kind == "text" else _names(token))
        return field, segments

    def _check_field(self, token: Token, field: str) -> None:
        if ALIASES.get(field, field) in self.fields:
            return
        aliases = (theirs for theirs, ours in ALIASES.items() if ours in self.fields)
        remedy = suggestion(field, (*self.fields, *aliases), "fields")
        example = next((name for name, kind in self.fields.items() if kind == "dict"), None)
        if example is not None:
            remedy += f"; keys inside a dictionary are written {example}.{field or 'KEY'}"
        self.tokens.fail(token, f"unknown field {field!r} of a {self.entity}", remedy)

    def _operator(self) -> Operator:
        token = self.tokens.next()
        name = token.text.lower()
        if name not in _OPERATORS:
            remedy = suggestion(name, _OPERATORS, "operators")
            self.tokens.fail(token, "expected an operator", remedy)
        return cast("Operator", name)

    def _values(self, operator: Operator) -> list[str]:
        if operator in ("is_empty", "is_not_empty"):
            return []
        if operator not in ("in", "not_in"):
            return [self._value()]
        opening = self.tokens.next()
        if opening.text not in _CLOSING:
            self.tokens.fail(opening, f'expected a list such as {operator} ("a", "b")')
        values = [self._value()]
        while self.tokens.accept(","):
            values.append(self._value())
        self.tokens.expect(_CLOSING[opening.text])
        return values

    def _value(self) -> str:
        token = self.tokens.next()
        if token.kind not in ("text", "word") or token.text.lower() in _KEYWORDS:
            self.tokens.fail(token, "expected a value", 'write texts in quotes, such as "fast"')
        return token.value


def _names(token: Token) -> list[str]:
    return [name for name in token.text.split(".") if name]
