"""Durable first, counted after: finished units are committed in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from opik_eval.engine.collector import collector
from opik_eval.engine.units import Finished
from opik_eval.errors import ConflictError, StorageError
from opik_eval.storage.base import Storage, Writable

BATCH_UNITS = 1_024
MOST_WAITING = 2 * BATCH_UNITS
_LINGER_SECONDS = 0.02
_LONGEST_LINGER_SECONDS = 0.2
_STREAM_UNITS = 32
_FLOOD_UNITS = 128
_FLOOD_SECONDS = 0.2
_CALM_SECONDS = 1.0


class Recorder:
    """Writes finished units to the store and reports them once they are safe.

    ``add`` may be called from any thread. A thread of the recorder's own writes what has gathered
    for a moment, or when a batch is full. In a flood, where tasks take no time, whoever fills a
    batch writes it: two threads that both compute all the time hold each other up. While one
    writes, others may fill another batch, and then wait. So the store sets the pace and memory
    stays bounded. A batch is one transaction, so a unit is stored whole or not at all. A unit that
    the store refuses is set aside; the rest of its batch is written.

    Args:
        storage: Where to.
        records_of: Returns what the store keeps of some units.
        on_durable: Receives each batch after it is committed, one call at a time.
        on_failure: Receives the error when the store fails for good; nothing is written after it.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        records_of: Callable[[Sequence[Finished]], Sequence[Writable]],
        on_durable: Callable[[Sequence[Finished]], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self._storage = storage
        self._records_of = records_of
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._waiting: list[Finished] = []
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._pressed = threading.Condition(self._lock)
        self._writing = threading.Lock()
        self._closing = False
        self._begun_at = self._calm_until = 0.0
        self._error: StorageError | None = None
        self._refused: list[Finished] = []
        self._reasons: list[str] = []
        self._thread = threading.Thread(target=self._run, name="opik-eval-recorder", daemon=True)
        self._thread.start()

    def add(self, finished: Finished) -> None:
        """Hand over a finished unit; may write a batch before it returns."""
        with self._lock:
            self._waiting.append(finished)
            count = len(self._waiting)
            if count == 1:
                self._begun_at = time.monotonic()
                self._arrived.notify_all()
            is_flood = count == BATCH_UNITS and self._was_filled_fast()
            if count == BATCH_UNITS and not is_flood:
                self._pressed.notify_all()
        if (is_flood or count >= MOST_WAITING) and self._error is None:
            self._write_waiting(must_wait=not is_flood)

    def close(self) -> list[Finished]:
        """Write what is left, stop, and return what could not be written."""
        with self._lock:
            self._closing = True
            self._arrived.notify_all()
            self._pressed.notify_all()
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
        """Wait for units that nobody else writes; return False when there is nothing more to do."""
        with self._lock:
            self._arrived.wait_for(lambda: self._waiting or self._closing)
            seconds, lingered = _LINGER_SECONDS, 0.0
            while not self._must_hurry() and lingered < _LONGEST_LINGER_SECONDS:
                batch, before = self._waiting, len(self._waiting)
                self._pressed.wait_for(self._must_hurry, seconds)
                if batch is not self._waiting:  # a flood: others write, and are not to be disturbed
                    seconds, lingered = _LONGEST_LINGER_SECONDS, 0.0
                elif len(batch) - before < _STREAM_UNITS:
                    break  # a moment's patience is enough; no stream is about to fill the batch
                else:
                    lingered += seconds
            return self._error is None and bool(self._waiting or not self._closing)

    def _was_filled_fast(self) -> bool:
        return time.monotonic() - self._begun_at < _FLOOD_SECONDS

    def _must_hurry(self) -> bool:
        return self._closing or len(self._waiting) >= BATCH_UNITS

    def _write_waiting(self, *, must_wait: bool = True) -> None:
        """Write what waits, unless somebody else is writing and that is not to be waited for."""
        if not self._writing.acquire(blocking=must_wait):
            return
        try:
            with self._lock:
                batch, self._waiting = self._waiting, []
            self._pace_collector(len(batch))
            if batch:
                self._store(batch)
        finally:
            self._writing.release()

    def _pace_collector(self, count: int) -> None:
        now = time.monotonic()
        if count >= _FLOOD_UNITS:
            self._calm_until = now + _CALM_SECONDS
            collector.calm(self)
        elif now > self._calm_until:
            collector.wake(self)

    def _store(self, batch: Sequence[Finished]) -> None:
        """Write a batch: at once, or by halves down to the units that are refused."""
        try:
            if self._error is not None:
                raise self._error
            self._storage.write(self._records_of(batch))
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
        with self._lock:
            is_first = self._error is None
            self._waiting[:0] = batch
            self._error = error
        if is_first:
            self._on_failure(error)
