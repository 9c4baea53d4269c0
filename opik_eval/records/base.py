"""What all records have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import core_schema


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Utc:
    """Lets times that are in UTC already pass in compiled code; the others are converted."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        in_utc = core_schema.datetime_schema(tz_constraint=0)
        converted = core_schema.no_info_after_validator_function(
            _as_utc, core_schema.datetime_schema()
        )
        return core_schema.union_schema([in_utc, converted], mode="left_to_right")


UtcDatetime = Annotated[datetime, _Utc]
"""An aware time in UTC; a naive one is taken as UTC."""


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of the records: immutable, no unknown fields.

    In every record ``None`` means "nothing said": writing it never erases what is stored.
    ``last_updated_at`` is the writer's clock; where two writes name the same field, the newer wins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def unchecked(cls, **values: object) -> Self:
        """Return a record of values that are known to be right, faster and in less memory.

        For values that this package has made itself: types are not checked, names neither, and
        nothing is converted. Records that name the same fields share one ``model_fields_set``.

        Args:
            **values: All fields that have no default.

        Example:
            >>> from opik_eval.records import Project
            >>> Project.unchecked(id="1", name="demo") == Project(id="1", name="demo")
            True
        """
        record, defaults = _new(cls), _defaults_of(cls)
        if len(values) == len(defaults):
            _set_values(record, values)
            _set_named(record, _all_names_of(cls))
        else:
            _set_values(record, {**defaults, **values})
            _set_named(record, _shared_set(tuple(values)))
        _set_extra(record, None)
        _set_private(record, None)
        return record


# What ``BaseModel`` keeps of a model, written past its ``__setattr__``, which refuses.
_new = object.__new__
_set_values = BaseModel.__dict__["__dict__"].__set__
_set_named = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


@cache
def _defaults_of(kind: type[Record]) -> dict[str, object]:
    fields = kind.model_fields.items()
    return {name: None if field.is_required() else field.default for name, field in fields}


@cache
def _all_names_of(kind: type[Record]) -> set[str]:
    return set(kind.model_fields)


@cache
def _shared_set(names: tuple[str, ...]) -> set[str]:
    return set(names)
