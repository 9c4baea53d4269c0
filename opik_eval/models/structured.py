"""Replies that fit a schema: what is sent to ask for one, and how the reply is read.

A schema is a pydantic class or a JSON schema. Providers that constrain their replies get it as
such; for all others it is put into the prompt. Either way the reply is read leniently and checked
strictly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import BaseModel, ValidationError

from opik_eval.errors import ConfigError, ParseError
from opik_eval.models.base import Completion, Message, ResponseFormat, Usage
from opik_eval.models.extraction import find_json
from opik_eval.serialization import dumps, loads

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_LONGEST_EXCERPT = 200


class ReplySchema(Protocol):
    """What a reply must fit."""

    @property
    def json_schema(self) -> Mapping[str, object]:
        """The schema as JSON schema."""
        ...

    def validate(self, value: object) -> object:
        """Return what a JSON value stands for.

        Raises:
            ValueError: It does not fit; the message says where.
        """
        ...


@dataclass(frozen=True)
class ClassSchema:
    """A pydantic class; replies become its instances."""

    kind: type[BaseModel]

    @property
    def json_schema(self) -> Mapping[str, object]:
        """The class's JSON schema."""
        return _schema_of_class(self.kind)

    def validate(self, value: object) -> BaseModel:
        """Return the instance that a JSON value stands for, by pydantic's rules for JSON."""
        try:
            return self.kind.model_validate_json(dumps(value))
        except ValidationError as error:
            raise ValueError(_explain(error)) from error


@dataclass(frozen=True)
class PlainSchema:
    """A JSON schema (2020-12 unless it names another draft); replies stay plain JSON types."""

    json_schema: Mapping[str, object]

    def validate(self, value: object) -> object:
        """Return a JSON value that fits."""
        from jsonschema.exceptions import best_match

        validator = _validator(dumps(self.json_schema))
        error = best_match(validator.iter_errors(cast("Any", value)))
        if error is not None:
            raise ValueError(f"{error.json_path}: {error.message[:_LONGEST_EXCERPT]}")
        return value


def reply_schema(response_format: ResponseFormat) -> ReplySchema | None:
    """Return the schema that a ``response_format`` asks for.

    OpenAI's wrapping, ``{"type": "json_schema", "json_schema": {"schema": ...}}``, is understood.

    Raises:
        ConfigError: It is neither a pydantic class nor a valid JSON schema.
    """
    if response_format is None:
        return None
    if isinstance(response_format, type) and issubclass(response_format, BaseModel):
        return ClassSchema(response_format)
    if not isinstance(response_format, Mapping):
        raise ConfigError(
            f"response_format is {response_format!r}, neither a pydantic class nor a JSON schema",
            remedy="pass a subclass of pydantic.BaseModel or a JSON schema as a dict",
        )
    wrapped = response_format.get("json_schema")
    schema = wrapped.get("schema") if isinstance(wrapped, Mapping) else response_format
    if not isinstance(schema, Mapping):
        raise ConfigError("response_format wraps no JSON schema under json_schema.schema")
    _validator(dumps(schema))
    return PlainSchema(schema)


def parse_reply(text: str, schema: ReplySchema) -> object:
    """Return the first value in a reply that fits a schema.

    Raises:
        ParseError: There is none. The message is about the likeliest candidate.
    """
    problem: str | None = None
    for value in find_json(text):
        try:
            return schema.validate(value)
        except ValueError as error:
            problem = problem or str(error)
    raise ParseError(problem or "it holds no JSON value", reply=text)


def with_schema_in_prompt(
    messages: Sequence[Message], json_schema: Mapping[str, object]
) -> list[Message]:
    """Return messages that ask for a reply of that schema, at the end of the last user message."""
    instruction = _instruction("json_schema", schema=json_schema)
    last = messages[-1] if messages else {}
    if last.get("role") != "user":
        return [*messages, {"role": "user", "content": instruction}]
    content = last.get("content")
    if isinstance(content, list | tuple):
        extended: object = [*content, {"type": "text", "text": instruction}]
    else:
        extended = f"{content}\n\n{instruction}"
    return [*messages[:-1], {**last, "content": extended}]


def repair_messages(
    messages: Sequence[Message], reply: Completion, error: ParseError, schema: ReplySchema
) -> list[Message]:
    """Return messages that show a model its unusable reply and ask for a better one."""
    problem = error.message
    if reply.finish_reason == "length":
        problem += "; it was cut off because it was too long, so be brief"
    request = _instruction("repair", schema=schema.json_schema, error=problem)
    return [
        *messages,
        {"role": "assistant", "content": reply.text},
        {"role": "user", "content": request},
    ]


def both_turns(first: Completion, repair: Completion) -> Completion:
    """Return the reply of a repair turn with what the two turns used together."""
    usage = {
        field.name: _sum(getattr(first.usage, field.name), getattr(repair.usage, field.name))
        for field in fields(Usage)
    }
    costs = (first.cost_usd, repair.cost_usd)
    return replace(
        repair,
        usage=Usage(**usage),
        cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        cached=first.cached and repair.cached,
        latency_seconds=first.latency_seconds + repair.latency_seconds,
        attempts=first.attempts + repair.attempts,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _instruction(name: str, *, schema: Mapping[str, object], error: str = "") -> str:
    template = _template(name)
    return template.replace("{{error}}", error).replace("{{schema}}", json.dumps(schema)).strip()


@cache
def _template(name: str) -> str:
    return (files("opik_eval.models") / "prompts" / f"{name}.md").read_text(encoding="utf-8")


@lru_cache(maxsize=256)
def _schema_of_class(kind: type[BaseModel]) -> Mapping[str, object]:
    return kind.model_json_schema()


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Validator:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    parsed = cast("dict[str, object]", loads(schema))
    kind = validator_for(parsed, default=Draft202012Validator)
    try:
        kind.check_schema(parsed)
    except SchemaError as error:
        raise ConfigError(
            f"response_format is not a valid JSON schema: {error.json_path}: {error.message}"
        ) from error
    return kind(parsed)


def _explain(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(step) for step in problem['loc']) or 'the value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(problems)[: 3 * _LONGEST_EXCERPT]
