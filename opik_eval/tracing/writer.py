"""The background writer: one thread between a program's spans and its store.

Every record that is handed over is counted and ends in exactly one of three places: delivered,
pending, or rejected with a reason. Nothing else happens to a record.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from opik_eval.errors import OpikEvalError, StorageError, UnavailableError
from opik_eval.storage.base import FlushReport
from opik_eval.tracing.delivery import Delivery, RecordStore
from opik_eval.tracing.sink import Emitted

logger = logging.getLogger("opik_eval.tracing")
MAX_PAUSE_FACTOR = 64
_NO_ROOM = "the store was unavailable or too slow for too long"


class BackgroundWriter:
    """Writes records in batches from one daemon thread, in order of arrival.

    An unavailable store is tried again with growing pauses, for as long as the process lives; a
    record that the store refuses is rejected alone, the rest of its batch is written. When
    ``max_pending`` records wait, ``emit`` makes its caller wait for room; after
    ``max_block_seconds`` without any it rejects the record, and further ones at once until the
    store works again. Rejections are counted, reported by ``flush`` and logged as errors.

    Args:
        storage: Where to write.
        max_pending: Records held in memory at most.
        batch_size: Records per write at most.
        interval_seconds: How long a record waits at most for others to share its write.
        retry_seconds: First pause after a failed write; it doubles up to ``MAX_PAUSE_FACTOR``
            times its length.
        max_block_seconds: How long ``emit`` waits for room.
    """

    def __init__(
        self,
        storage: RecordStore,
        *,
        max_pending: int = 20_000,
        batch_size: int = 1000,
        interval_seconds: float = 0.25,
        retry_seconds: float = 0.25,
        max_block_seconds: float = 10.0,
    ) -> None:
        self._storage = storage
        self._delivery = Delivery(storage, self)
        self._max_pending = max_pending
        self._batch_size = batch_size
        self._interval_seconds = interval_seconds
        self._retry_seconds = retry_seconds
        self._max_block_seconds = max_block_seconds
        # Reentrant: the garbage collector may end an abandoned generator's span inside ``emit``.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[Emitted] = deque()
        self._accepted = 0  # records that entered the queue
        self._settled = 0  # those of them that were written or refused
        self._delivered = 0
        self._rejected: Counter[str] = Counter()
        self._failures = 0
        self._hurried = 0  # callers who wait for a write
        self._stalled = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def emit(self, record: Emitted) -> None:
        """Hand a record over; waits for room if the store cannot keep up."""
        with self._changed:
            if self._has_room() or self._wait_for_room():
                self._queue.append(record)
                self._accepted += 1
                if len(self._queue) in (1, self._batch_size):
                    self._wake()
                return
            reason = "the tracer is closed" if self._closed else _NO_ROOM
            self._reject(1, reason)

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until everything handed over so far is settled, and report all of it.

        Args:
            timeout_seconds: How long to wait at most. With ``None`` as long as writes succeed: an
                unavailable store is tried once more, and if that fails, the report says what is
                pending.

        Returns:
            Totals since the writer was made. ``pending`` and ``rejected`` include what the store
            itself has yet to deliver or was refused, by whomever it was written.
        """
        started = time.monotonic()
        self._await_settled(timeout_seconds, gives_up=timeout_seconds is None)
        left = None
        if timeout_seconds is not None:
            left = max(0.0, timeout_seconds - (time.monotonic() - started))
        return self._report(left)

    def close(self, timeout_seconds: float | None = None) -> FlushReport:
        """Write what is pending and stop; what an unavailable store does not take is rejected.

        Args:
            timeout_seconds: Limit for each of three steps: writing, stopping the thread, and the
                store's own flush. A store that is unavailable is not waited for.
        """
        self._await_settled(timeout_seconds, gives_up=True)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)
        return self._report(timeout_seconds)

    def _await_settled(self, timeout_seconds: float | None, *, gives_up: bool) -> None:
        """Wait for what is accepted by now; perhaps no longer than for two failures of the store.

        The first of them may belong to a try that began before.
        """
        with self._changed:
            target, failures = self._accepted, self._failures
            self._wait_hurried(
                lambda: self._settled >= target or (gives_up and self._failures >= failures + 2),
                timeout_seconds,
            )

    def _has_room(self) -> bool:
        return not self._closed and self._accepted - self._settled < self._max_pending

    def _wait_for_room(self) -> bool:
        if self._closed or self._stalled:
            return False
        self._stalled = not self._wait_hurried(
            lambda: self._has_room() or self._closed, self._max_block_seconds
        )
        return self._has_room()

    def _wait_hurried(self, done: Callable[[], bool], timeout_seconds: float | None) -> bool:
        """Wait for the thread to get something done, without its lingering. The lock is held."""
        self._hurried += 1
        try:
            self._wake()
            return self._changed.wait_for(done, timeout_seconds)
        finally:
            self._hurried -= 1

    def _wake(self) -> None:
        """Wake the thread, or start it. The lock is held."""
        if self._queue and (self._thread is None or not self._thread.is_alive()):
            thread = threading.Thread(target=self._run, name="opik-eval-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down and starts no more threads: write here, once.
                closed, self._closed = self._closed, True
                self._run()
                self._closed = closed
            else:
                self._thread = thread
        self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._delivery.deliver(batch)

    def _next_batch(self) -> list[Emitted]:
        """Return the next records to write; none once the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._changed.wait_for(
                lambda: len(self._queue) >= self._batch_size or self._is_hurried(),
                self._interval_seconds,
            )
            count = min(len(self._queue), self._batch_size)
            return [self._queue.popleft() for _ in range(count)]

    def _is_hurried(self) -> bool:
        return self._hurried > 0 or self._closed

    def may_retry(self, error: UnavailableError, failures: int) -> bool:
        """Pause before a write is tried again; false once the writer is closed."""
        with self._changed:
            if failures == 1:
                logger.warning("the store of traces is unavailable, trying again: %s", error)
            self._failures += 1
            self._changed.notify_all()
            # Whoever waits for a write cuts a long pause short, but not below the first one.
            longer = self._retry_seconds * (min(2 ** (failures - 1), MAX_PAUSE_FACTOR) - 1)
            self._changed.wait_for(self._is_hurried, longer)
            self._changed.wait_for(lambda: self._closed, self._retry_seconds)
            return not self._closed

    def settle(self, count: int, error: Exception | None = None) -> None:
        """Count records as delivered, or as rejected with an error."""
        with self._changed:
            self._settled += count
            self._stalled = False
            if error is None:
                self._delivered += count
            else:
                message = error.message if isinstance(error, OpikEvalError) else str(error)
                self._reject(count, f"{type(error).__name__}: {message}")
            self._changed.notify_all()

    def _reject(self, count: int, reason: str) -> None:
        """Count lost records, and say so the first time. The lock is held."""
        if reason not in self._rejected:
            logger.error("trace records are being lost: %s", reason)
        self._rejected[reason] += count

    def _report(self, timeout_seconds: float | None) -> FlushReport:
        try:
            beyond = self._storage.flush(timeout_seconds)
        except StorageError as error:
            beyond = FlushReport()
            logger.warning("the store of traces could not be flushed: %s", error)
        with self._changed:
            pending = self._accepted - self._settled + beyond.pending
            delivered = max(0, self._delivered - beyond.pending - len(beyond.rejected))
            rejected = (*self._rejected.elements(), *beyond.rejected)
        return FlushReport(
            delivered=delivered, pending=pending, rejected=rejected, problem=beyond.problem
        )
