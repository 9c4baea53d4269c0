"""Durable first, counted after: finished units are committed in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from opik_eval.engine.collector import collector
from opik_eval.engine.units import Finished
from opik_eval.errors import ConflictError, StorageError
from opik_eval.storage.base import Storage, Writable

BATCH_UNITS = 512
MOST_WAITING = 2 * BATCH_UNITS
_LINGER_SECONDS = 0.02
_LONGEST_LINGER_SECONDS = 0.2
_STREAM_UNITS = 32
_FLOOD_UNITS = 128
_CALM_SECONDS = 1.0


class Recorder:
    """Writes finished units to the store and reports them once they are safe.

    ``add`` may be called from any thread. A thread of the recorder's own writes what has gathered
    for a moment, or when a batch is full; most of a write passes in the database, beside the tasks.
    When units come faster than that, the thread that adds the last of two batches writes them
    itself. So the store sets the pace and memory stays bounded. A batch is one transaction, so a
    unit is stored whole or not at all. A unit that the store refuses is set aside; the rest of its
    batch is written.

    Args:
        storage: Where to.
        on_durable: Receives each batch after it is committed, one call at a time.
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
        self._waiting: list[Finished] = []
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closing = False
        self._calm_until = 0.0
        self._error: StorageError | None = None
        self._refused: list[Finished] = []
        self._reasons: list[str] = []
        self._thread = threading.Thread(target=self._run, name="opik-eval-recorder", daemon=True)
        self._thread.start()

    def add(self, finished: Finished) -> None:
        """Hand over a finished unit; may write a batch before it returns."""
        with self._changed:
            self._waiting.append(finished)
            count = len(self._waiting)
            if count in (1, BATCH_UNITS):
                self._changed.notify_all()
        if count >= MOST_WAITING and self._error is None:
            self._write_waiting()

    def close(self) -> list[Finished]:
        """Write what is left, stop, and return what could not be written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        collector.wake(self)
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
        while self._gather():
            self._write_waiting()

    def _gather(self) -> bool:
        """Wait for units to write; return False when there is nothing more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            lingered = 0.0
            while not self._must_hurry() and lingered < _LONGEST_LINGER_SECONDS:
                before = len(self._waiting)
                self._changed.wait_for(self._must_hurry, _LINGER_SECONDS)
                lingered += _LINGER_SECONDS
                if len(self._waiting) - before < _STREAM_UNITS:
                    break  # a moment's patience is enough; no stream is about to fill the batch
            return self._error is None and bool(self._waiting or not self._closing)

    def _must_hurry(self) -> bool:
        return self._closing or len(self._waiting) >= BATCH_UNITS

    def _write_waiting(self) -> None:
        with self._writing:
            with self._changed:
                batch, self._waiting = self._waiting, []
            self._pace_collector(len(batch))
            if batch:
                self._store(batch)

    def _pace_collector(self, count: int) -> None:
        now = time.monotonic()
        if count >= _FLOOD_UNITS:
            self._calm_until = now + _CALM_SECONDS
            collector.calm(self)
        elif now > self._calm_until:
            collector.wake(self)

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
            is_first = self._error is None
            self._waiting[:0] = batch
            self._error = error
        if is_first:
            self._on_failure(error)
