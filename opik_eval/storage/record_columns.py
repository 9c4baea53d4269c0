"""Records as rows of a table: which columns a type has and what its cells hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

from opik_eval.records import Record
from opik_eval.serialization import dumps, loads

R = TypeVar("R", bound=Record)
ColumnKind = Literal["text", "integer", "number", "flag", "time", "json"]

_KINDS: Mapping[object, ColumnKind] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "flag",
    datetime: "time",
}


class Columns(Generic[R]):
    """The columns of a record type.

    Attributes:
        kinds: What each column holds, in the order of the record's fields.
    """

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind
        self.kinds: dict[str, ColumnKind] = {
            name: _kind_of(field.annotation) for name, field in kind.model_fields.items()
        }

    def cells(self, record: R) -> dict[str, object]:
        """Return the cells of a record; ``None`` where the record names nothing."""
        named = record.model_fields_set
        return {
            name: _cell(kind, getattr(record, name)) if name in named else None
            for name, kind in self.kinds.items()
        }

    def record(self, cells: Mapping[str, object]) -> R:
        """Return the record of a row.

        Raises:
            ValueError: The cells do not make a record.
        """
        values = {
            name: loads(cast("str", cell)) if self.kinds.get(name) == "json" else cell
            for name, cell in cells.items()
            if cell is not None
        }
        return self._kind.model_validate(values)


def _cell(kind: ColumnKind, value: object) -> object:
    if value is None:
        return None
    if kind == "json":
        return dumps(value, sort_keys=False).decode("utf-8")
    return value.value if isinstance(value, Enum) else value


def _kind_of(annotation: object) -> ColumnKind:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind_of(arguments[0])
    if origin in (Union, UnionType):
        inner = [argument for argument in arguments if argument is not NoneType]
        return _kind_of(inner[0]) if len(inner) == 1 else "json"
    if origin is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return "text"
    return _KINDS.get(annotation, "json")
