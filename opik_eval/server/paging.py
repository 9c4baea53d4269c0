"""Pages of lists, their order, and cursors of streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from starlette.responses import Response

from opik_eval.server.failures import RefusedError, bad_request
from opik_eval.server.payloads import Payload
from opik_eval.server.replies import json_reply
from opik_eval.server.settings import ServerSettings

T = TypeVar("T")
_DEFAULT_LIMIT = 500


@dataclass(frozen=True)
class Page:
    """A part of a list: the ``number``-th ``size`` rows, counted from 1."""

    number: int
    size: int

    @property
    def start(self) -> int:
        """Rows before the page."""
        return (self.number - 1) * self.size

    def cut(self, rows: Iterable[T]) -> tuple[list[T], int]:
        """Return the rows on the page and the number of all rows."""
        remaining = iter(rows)
        skipped = sum(1 for _ in islice(remaining, self.start))
        found = list(islice(remaining, self.size))
        return found, skipped + len(found) + sum(1 for _ in remaining)

    def reply(
        self, content: Sequence[object], total: int, sortable: Iterable[str] = (), **more: object
    ) -> Response:
        """Return the answer that carries a page.

        Args:
            content: The rows on the page.
            total: Number of all rows.
            sortable: Fields that the list can be ordered by.
            **more: Further fields of the answer.
        """
        page = {"page": self.number, "size": len(content), "total": total, "content": content}
        return json_reply({**page, "sortableBy": list(sortable), **more})


async def _page(
    request: Request,
    page: Annotated[int, Query(ge=1, le=1 << 31)] = 1,
    size: Annotated[int, Query(ge=1, le=1 << 31)] = 10,
) -> Page:
    settings: ServerSettings = request.app.state.settings
    if size > settings.max_page_size:
        raise RefusedError(422, f"size must be at most {settings.max_page_size}")
    return Page(page, size)


PageWanted = Annotated[Page, Depends(_page)]


@dataclass(frozen=True)
class Cursor:
    """Where a stream goes on: ``limit`` rows with ids below ``before``."""

    limit: int
    before: str | None

    def cut(self, rows: Iterable[T], id_of: Callable[[T], str]) -> list[T]:
        """Return the rows of the next part, newest first."""
        wanted = (row for row in rows if self.before is None or id_of(row) < self.before)
        return sorted(wanted, key=id_of, reverse=True)[: self.limit]


def cursor_in(
    payload: Payload, most: int, *, limit: str = "limit", before: str = "last_retrieved_id"
) -> Cursor:
    """Return the cursor that a payload holds.

    Args:
        payload: The body of the request.
        most: Greatest limit.
        limit: Name of the field with the number of rows.
        before: Name of the field with the last id that the client has.

    Raises:
        RefusedError: The limit is no number in the range (422).
    """
    count = payload.get(limit)
    if count is None:
        count = _DEFAULT_LIMIT
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most:
        raise RefusedError(422, f"{limit} must be a number from 1 to {most}")
    last = payload.get(before)
    if last is not None and not isinstance(last, str):
        raise RefusedError(422, f"{before} must be a text")
    return Cursor(count, last)


@dataclass(frozen=True)
class Sorting:
    """One field to order by."""

    field: str
    descending: bool


def sorting_in(text: str | None, sortable: Iterable[str]) -> Sequence[Sorting]:
    """Return the order that a query asks for; the first field counts most.

    Args:
        text: JSON list of ``{"field", "direction"}``.
        sortable: Fields that can be ordered by; one that ends in ``.*`` stands for all keys in it.

    Raises:
        RefusedError: It is no such list, or names a field that cannot be ordered by (400).
    """
    if not text:
        return ()
    try:
        entries = json.loads(text)
        wanted = [
            Sorting(str(e["field"]), str(e.get("direction", "ASC")).upper() == "DESC")
            for e in entries
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise bad_request(
            'sorting must be a JSON list such as [{"field": "name", "direction": "DESC"}]'
        ) from None
    known = frozenset(sortable)
    for entry in wanted:
        if entry.field not in known and entry.field.split(".")[0] + ".*" not in known:
            raise bad_request(f"cannot sort by {entry.field!r}; fields: {', '.join(sorted(known))}")
    return wanted


def ordered(
    rows: Iterable[T], sorting: Sequence[Sorting], value_of: Callable[[T, str], object]
) -> list[T]:
    """Return rows in an order; rows without a value come last."""
    result = list(rows)
    for entry in reversed(sorting):
        keyed = [(value_of(row, entry.field), row) for row in result]
        present = [pair for pair in keyed if pair[0] is not None]
        present.sort(key=lambda pair: _sort_key(pair[0]), reverse=entry.descending)
        result = [row for _, row in present] + [row for value, row in keyed if value is None]
    return result


def field_of(view: Mapping[str, object], field: str) -> object:
    """Return a field of a read model; ``a.b`` looks for ``b`` inside ``a``."""
    name, _, key = field.partition(".")
    value = view.get(name)
    if not key:
        return value
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list):  # scores
        return next((s["value"] for s in value if s.get("name") == key), None)
    return None


def _sort_key(value: object) -> tuple[int, object]:
    if isinstance(value, int | float):
        return (0, value)
    return (1, str(value).casefold())
