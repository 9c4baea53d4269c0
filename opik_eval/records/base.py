"""What all records have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

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
