"""Durable first, counted after: one thread commits finished units in batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from opik_eval.engine.units import Finished
from opik_eval.errors import ConflictError, StorageError
from opik_eval.storage.base import Storage, Writable

_BATCH_UNITS = 512
_LINGER_SECONDS = 0.05
_MAX_WAITING = 1024


class Recorder:
    """Writes finished units to the store and reports them once they are safe.

    ``add`` may be called from any thread; it blocks when the store cannot keep up, so memory stays
    bounded. A batch is one transaction, so a unit is stored whole or not at all. A unit that the
    store refuses is set aside; the rest of its batch is written.

    Args:
        storage: Where to.
        on_durable: Receives each batch after it is committed; called from the recorder's thread.
        on_failure: Receives the error when the store fails for good; nothing is written after it.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        on_durable: Callable[[Sequence[Finished]], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self._storage = storage
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._waiting: deque[Finished] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._error: StorageError | None = None
        self._refused: list[Finished] = []
        self._reasons: list[str] = []
        self._thread = threading.Thread(target=self._run, name="opik-eval-recorder", daemon=True)
        self._thread.start()

    def add(self, finished: Finished) -> None:
        """Hand over a finished unit."""
        with self._changed:
            while len(self._waiting) >= _MAX_WAITING and not (self._error or self._closing):
                self._changed.wait()
            self._waiting.append(finished)
            if len(self._waiting) == 1 or len(self._waiting) >= _BATCH_UNITS:
                self._changed.notify_all()

    def close(self) -> list[Finished]:
        """Write what is left, stop, and return what could not be written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        return [*self._refused, *self._waiting]

    @property
    def error(self) -> StorageError | None:
        """The store's error, if it failed."""
        return self._error

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why units were set aside, each reason once."""
        return tuple(dict.fromkeys(self._reasons))

    def _run(self) -> None:
        while self._error is None and (batch := self._next_batch()):
            self._store(batch)

    def _next_batch(self) -> list[Finished]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if not self._closing and len(self._waiting) < _BATCH_UNITS:
                # A moment's patience turns many small transactions into one.
                self._changed.wait(_LINGER_SECONDS)
            count = min(len(self._waiting), _BATCH_UNITS)
            batch = [self._waiting.popleft() for _ in range(count)]
            self._changed.notify_all()
            return batch

    def _store(self, batch: Sequence[Finished]) -> None:
        """Write a batch: at once, or by halves down to the units that are refused."""
        records: list[Writable] = [record for unit in batch for record in unit.records]
        try:
            if self._error is not None:
                raise self._error
            self._storage.write(records)
        except Exception as error:  # noqa: BLE001 - backends are pluggable, records hold any object
            if isinstance(error, StorageError) and not isinstance(error, ConflictError):
                self._fail(batch, error)
            elif len(batch) == 1:
                self._refused += batch
                self._reasons.append(f"{type(error).__name__}: {error}")
            else:
                middle = len(batch) // 2
                self._store(batch[:middle])
                self._store(batch[middle:])
        else:
            self._on_durable(batch)

    def _fail(self, batch: Sequence[Finished], error: StorageError) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(batch))
            self._error = error
            self._changed.notify_all()
        self._on_failure(error)
