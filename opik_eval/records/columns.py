"""Many records of one type as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from opik_eval.records.base import Record

R_co = TypeVar("R_co", bound=Record, covariant=True)


@dataclass(frozen=True, slots=True)
class Columns(Generic[R_co]):
    """Many records of one type, column by column, for whoever makes thousands of them at once.

    A store that keeps tables writes columns as they are, at a third of the cost of the records.
    As with ``Record.unchecked``, the values are known to be right.

    Attributes:
        kind: Type of the records.
        values: Columns by field, at least one, all of one length; ``None`` in them, and a field
            that is missing, say nothing. Fields that identify a record must be there. Records
            inside records, such as scores of items, are dictionaries of what they say.

    Example:
        >>> from opik_eval.records import Project
        >>> some = Columns(Project, {"id": ["1", "2"], "name": ["a", "b"]})
        >>> len(some), some.records()[1].name
        (2, 'b')
    """

    kind: type[R_co]
    values: Mapping[str, Sequence[object]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def records(self) -> list[R_co]:
        """Return the records."""
        return [self.kind.model_validate(fields) for fields in self.rows()]

    def rows(self) -> list[dict[str, object]]:
        """Return the fields that each record names, without making the records."""
        names = tuple(self.values)
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in zip(*self.values.values(), strict=True)
        ]


def one_by_one(records: Iterable[Record | Columns[Record]]) -> list[Record]:
    """Return records, those in columns too, one by one."""
    found: list[Record] = []
    for record in records:
        if isinstance(record, Columns):
            found += record.records()
        else:
            found.append(record)
    return found
