"""Tables of the memory backend: merged records by key, each held as JSON.

Holding JSON keeps the store's state apart from the objects of its users, and gives back exactly
what a store on disk would. It is read again only where a record is asked for or written once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar, cast

from opik_eval.records import Record
from opik_eval.serialization import loads
from opik_eval.storage.merge import Merged, decode, encode_values, merge

R = TypeVar("R", bound=Record)
Key = tuple[str, ...]
Fields = Mapping[str, object]


class Row(NamedTuple):
    """One merged record at rest.

    Attributes:
        text: The fields that some write named, as JSON.
        group: What the table's index finds the record by.
        written_at: As in ``Merged``.
        older: As in ``Merged``.
    """

    text: bytes
    group: str
    written_at: datetime
    older: Mapping[str, datetime] = MappingProxyType({})


class Table(Generic[R]):
    """Records of one type by key, with one index.

    Args:
        kind: Type of the records.
        group_of: What the index finds records by, such as the trace of a span; gets the fields
            that a record names.
    """

    def __init__(self, kind: type[R], group_of: Callable[[Fields], str] = lambda _: "") -> None:
        self.kind = kind
        self.group_of = group_of
        self._rows: dict[Key, Row] = {}
        self._groups: dict[str, dict[Key, None]] = {}

    def find(self, key: Key) -> R | None:
        """Return the record of a key."""
        row = self._rows.get(key)
        return None if row is None else decode(self.kind, row.text)

    def row(self, key: Key) -> Row | None:
        """Return the row of a key."""
        return self._rows.get(key)

    def row_of(self, state: Merged[R]) -> Row:
        """Return the row that holds a state."""
        group = self.group_of(state.values)
        return Row(encode_values(state.values), group, state.written_at, state.older)

    def merge(self, a: Row, b: Row) -> Row:
        """Return the row of a record after the writes of both sides."""
        return self.row_of(merge(self._state(a), self._state(b)))

    def put(self, key: Key, row: Row) -> None:
        """Replace the record of a key."""
        self.drop(key)
        self._rows[key] = row
        self._groups.setdefault(row.group, {})[key] = None

    def drop(self, key: Key) -> None:
        """Delete a record if it is there."""
        row = self._rows.pop(key, None)
        if row is not None:
            del self._groups[row.group][key]
            if not self._groups[row.group]:
                del self._groups[row.group]

    def drop_group(self, group: str) -> None:
        """Delete all records of a group."""
        for key in tuple(self._groups.get(group, ())):
            self.drop(key)

    def keys(self, group: str | None = None) -> list[Key]:
        """Return the keys in ascending order, of one group if it is given."""
        return sorted(self._rows if group is None else self._groups.get(group, ()))

    def items(self) -> list[tuple[Key, Row]]:
        """Return the rows with their keys."""
        return list(self._rows.items())

    def snapshot(self, groups: Iterable[str] | None = None) -> list[Row]:
        """Return the rows in the order of their keys; of the given groups unless ``None``."""
        if groups is None:
            return [self._rows[key] for key in self.keys()]
        found = {key for group in groups for key in self._groups.get(group, ())}
        return [self._rows[key] for key in sorted(found)]

    def decode(self, rows: Iterable[Row]) -> Iterator[R]:
        """Yield the records of rows, made when they are asked for."""
        return (decode(self.kind, row.text) for row in rows)

    def records(self, groups: Iterable[str] | None = None) -> Iterator[R]:
        """Yield the records of a snapshot taken now."""
        return self.decode(self.snapshot(groups))

    def _state(self, row: Row) -> Merged[R]:
        values = cast("dict[str, object]", loads(row.text))
        return Merged(self.kind, values, row.written_at, row.older)
