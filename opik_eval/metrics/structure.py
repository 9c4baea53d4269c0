"""Is the output JSON, and JSON of the right shape?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.serialization import dumps, loads, to_jsonable

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_MAX_INT_DIGITS = 4000
_SHOWN_VIOLATIONS = 5


@dataclass
class IsJson(DataclassMetric):
    """1 if the output is a JSON text (RFC 8259), else 0.

    Any JSON value counts, not only objects. ``NaN`` and ``Infinity`` are not JSON; an object that
    names a key twice is. Text around the JSON, such as a Markdown fence, makes it no JSON.

    Example:
        >>> IsJson().score(output='{"ok": true}').value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    name: str = field(default="is_json_metric", kw_only=True)

    def score(self, output: str | bytes, **_ignored: object) -> ScoreResult:
        """Parse ``output``.

        Raises:
            MetricError: ``output`` is neither text nor bytes.
        """
        text = (
            output
            if isinstance(output, bytes)
            else require_text(output, "output", metric=self.name)
        )
        try:
            parse_json(text)
        except ValueError as error:
            return ScoreResult(self.name, 0.0, reason=f"not JSON: {error}")
        return ScoreResult(self.name, 1.0)


@dataclass
class JsonSchema(DataclassMetric):
    """1 if the output fits a JSON schema (draft 2020-12), else 0, with what does not fit as reason.

    Decided by a validator, not by a model. As the standard says, ``true`` is not a number and 1.0
    is an integer. A text is parsed as JSON first; an output that already is a dict, a list or a
    number is checked as it is. References are resolved inside the schema, never over the network.

    Args:
        schema: The schema as a dict, or a pydantic class; used where ``score`` is given none.
        check_formats: Also enforce ``format`` (``date``, ``email``, ...), which the standard leaves
            to the reader.

    Example:
        >>> schema = {"type": "object", "required": ["city"]}
        >>> JsonSchema(schema).score(output='{"town": "Rome"}').reason
        "$: 'city' is a required property"
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    schema: Mapping[str, object] | type | None = None
    check_formats: bool = False
    name: str = field(default="json_schema_metric", kw_only=True)

    def score(
        self,
        output: object,
        schema: Mapping[str, object] | type | None = None,
        **_ignored: object,
    ) -> ScoreResult:
        """Check ``output`` against ``schema``.

        Raises:
            MetricError: ``output`` or the schema is missing, or the schema itself is wrong.
        """
        require_value(output, "output", metric=self.name)
        chosen = self._schema(self.schema if schema is None else schema)
        try:
            value = parse_json(output) if isinstance(output, str | bytes) else to_jsonable(output)
        except ValueError as error:
            return ScoreResult(self.name, 0.0, reason=f"not JSON: {error}")
        violations = self._violations(value, chosen)
        shown = [f"{error.json_path}: {error.message}" for error in violations[:_SHOWN_VIOLATIONS]]
        if len(violations) > len(shown):
            shown.append(f"and {len(violations) - len(shown)} more")
        return ScoreResult(self.name, float(not violations), reason="\n".join(shown) or None)

    def _schema(self, schema: object) -> Mapping[str, object]:
        require_value(schema, "schema", metric=self.name)
        if isinstance(schema, Mapping):
            return schema
        as_json_schema = getattr(schema, "model_json_schema", None)
        if callable(as_json_schema):
            return cast("Mapping[str, object]", as_json_schema())
        raise MetricError(
            f"metric {self.name!r} got a {type(schema).__name__} as 'schema'",
            remedy="give the schema as a dict or as a pydantic class",
        )

    def _violations(self, value: object, schema: Mapping[str, object]) -> list[ValidationError]:
        from jsonschema import SchemaError
        from referencing.exceptions import Unresolvable

        try:
            validator = _validator(dumps(schema), self.check_formats)
            return sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        except (SchemaError, Unresolvable, RecursionError) as error:
            cause = error.message if isinstance(error, SchemaError) else str(error)
            raise MetricError(
                f"metric {self.name!r} cannot use the schema: {cause}",
                remedy="correct the schema; references must stay inside it ('#/$defs/...')",
            ) from error


@lru_cache(maxsize=128)
def _validator(schema_json: bytes, check_formats: bool) -> Draft202012Validator:
    """Return the validator of a schema; checking the schema costs much more than using it."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema = cast("Mapping[str, object]", loads(schema_json))
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator.FORMAT_CHECKER if check_formats else None
    # An empty registry, because the default one fetches what it does not know.
    return Draft202012Validator(schema, format_checker=checker, registry=Registry())


def parse_json(text: str | bytes) -> object:
    """Return the value of a JSON text, strictly: ``NaN`` and ``Infinity`` are refused.

    Raises:
        ValueError: ``text`` is not JSON, or nested too deeply to be read.
    """
    try:
        return cast("object", _decoder.decode(_decoded(text)))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        return text.decode(json.detect_encoding(text), "surrogatepass")
    return text


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int | Decimal:
    # Python refuses to convert very long digit strings to int; JSON knows no such limit.
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else Decimal(digits)


# Made once, since json.loads would make another for every text.
_decoder = json.JSONDecoder(parse_constant=_refuse, parse_int=_integer)


__all__ = ["IsJson", "JsonSchema", "parse_json"]
