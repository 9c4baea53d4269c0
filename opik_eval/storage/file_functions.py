"""Functions that SQL calls in SQLite: the parts of filters that SQL cannot say."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import cast

from opik_eval.serialization import dumps
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.microseconds import from_microseconds, to_microseconds
from opik_eval.storage.query import Condition, FieldKind, created_at, holds
from opik_eval.storage.sql_payloads import read_payload


def register_functions(connection: sqlite3.Connection, blobs: BlobStore) -> None:
    """Make the functions known to a connection.

    - ``text_holds``, ``json_holds`` and ``time_holds`` (value, condition): whether the value of a
      column of texts, structured values or times satisfies a condition of ``encode_condition``
    - ``created_at(id)``: the time inside a UUIDv7 in microseconds, NULL for other ids
    - ``usage_sum(usage)``: an aggregate, the sums of structured usage counts

    Args:
        connection: Where the functions are to be known.
        blobs: Where large payloads are.
    """
    functions: dict[str, tuple[int, Callable[..., str | int | None]]] = {
        "text_holds": (2, partial(_holds, _as_text)),
        "json_holds": (2, partial(_holds, partial(read_payload, blobs))),
        "time_holds": (2, partial(_holds, cast("Callable[[object], object]", from_microseconds))),
        "created_at": (1, _created_at),
    }
    for name, (argument_count, function) in functions.items():
        connection.create_function(name, argument_count, function, deterministic=True)

    class UsageSum:
        """Adds up usage counts by kind."""

        def __init__(self) -> None:
            self._total: Counter[str] = Counter()

        def step(self, usage: object) -> None:
            """Add the counts of one row."""
            if usage is not None:
                self._total.update(cast("dict[str, int]", read_payload(blobs, usage)))

        def finalize(self) -> str:
            """Return the sums as JSON."""
            return dumps(self._total).decode()

    # The type stubs know aggregates of integers only.
    connection.create_aggregate("usage_sum", 1, UsageSum)  # type: ignore[arg-type]


def encode_condition(kind: FieldKind, condition: Condition) -> str:
    """Return a condition as the text that the ``*_holds`` functions take."""
    return json.dumps([kind, condition.field, condition.operator, condition.value, condition.key])


def _holds(read: Callable[[object], object], stored: object, condition: str) -> bool:
    kind, parsed = _decode_condition(condition)
    return holds(kind, parsed, None if stored is None else read(stored))


@lru_cache(maxsize=256)
def _decode_condition(text: str) -> tuple[FieldKind, Condition]:
    kind, field, operator, value, key = json.loads(text)
    return kind, Condition(field, operator, tuple(value) if isinstance(value, list) else value, key)


def _as_text(stored: object) -> object:
    return stored.decode("utf-8", "surrogatepass") if isinstance(stored, bytes) else stored


def _created_at(identifier: object) -> int | None:
    time = created_at(str(_as_text(identifier)))
    return None if time is None else to_microseconds(time)
