"""Rows of users and items of the store: how one becomes the other."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from opik_eval.datasets.loaders import Row
from opik_eval.errors import DatasetError
from opik_eval.ids import new_id
from opik_eval.records import DatasetItem, utc_now

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def as_row(item: DatasetItem) -> Row:
    """Return an item as a task receives it: the user's fields, and the item's ``id``.

    A field ``id`` of the user's own wins.
    """
    return {"id": item.id, **item.data}


def make_item(
    row: Mapping[str, object], *, item_id: str | None = None, created_at: datetime | None = None
) -> DatasetItem:
    """Return an item for the store.

    A field ``id`` that is a UUID is taken as the item's id (``get_items`` gives it so); any other
    ``id`` stays what it is, a field of the user's.

    Args:
        row: The user's fields.
        item_id: Id of the item; else that of the row, else a new one.
        created_at: Now if absent.
    """
    data, own_id = dict(row), given_id(row)
    if own_id is not None:
        del data["id"]
    identifier = item_id or own_id or new_id()
    return DatasetItem(id=identifier, data=data, created_at=created_at or utc_now())


def given_id(row: Mapping[str, object]) -> str | None:
    """Return the item's id that a row carries, if it does: a field ``id`` that is a UUID."""
    value = row.get("id")
    return str(value) if is_uuid(value) else None


def is_uuid(value: object) -> bool:
    """Tell whether a value is a UUID, as an object or in its canonical text."""
    is_text = isinstance(value, str) and _UUID.fullmatch(value) is not None
    return is_text or isinstance(value, uuid.UUID)


def renamed(
    rows: Iterable[Row], mapping: Mapping[str, str], ignored: Sequence[str]
) -> Iterator[Row]:
    """Yield rows with other names of fields, and without those to be ignored.

    Raises:
        DatasetError: Two fields of a row would get one name.
    """
    for index, row in enumerate(rows):
        kept = [key for key in row if key not in ignored]
        result = {mapping.get(key, key): row[key] for key in kept}
        if len(result) < len(kept):
            raise DatasetError(
                f"keys_mapping gives two fields of item {index} the same name",
                remedy=f"its fields are {sorted(kept)}; name those to leave out in ignore_keys",
            )
        yield result
