"""The sender: takes what is in the outbox to the server, in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain

from opik_eval.errors import StorageError
from opik_eval.records import utc_now
from opik_eval.storage.http_connection import Reply, Unreachable
from opik_eval.storage.http_retry import RETRYABLE_STATUSES, asked_seconds, wait_seconds
from opik_eval.storage.outbox import Entry, Outbox

logger = logging.getLogger("opik_eval.storage")

BATCH_RECORDS = 1000
BATCH_BYTES = 3_500_000
PARALLEL = 4
"""Batches under way. More of them fight for the interpreter, here and on the server."""
_BLOCKING_STATUSES = frozenset({401, 403, 404, 405})
_BLOCKED_SECONDS = 60.0
_LEASE_POLL_SECONDS = 0.1
_WAITING_POLL_SECONDS = 0.05

Deliver = Callable[[Sequence[Entry]], Reply]
"""Takes a batch to the server once and returns its answer; raises ``Unreachable`` without one."""


@dataclass
class _State:
    """What the last attempts showed."""

    failures: int = 0
    asked_until: float = 0.0
    progress_at: float = 0.0
    problem: str | None = None
    is_blocked: bool = False


@dataclass
class _Round:
    """What became of one attempt to empty the line."""

    arrived: int = 0
    problem: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_blocked: bool = False


class Sender:
    """Drains an outbox. One thread; several batches at a time.

    Args:
        outbox: Where the entries are.
        deliver: Takes a batch to the server.
        destination: Where to, for texts.
        now: Monotonic clock in seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Deliver,
        *,
        destination: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._deliver = deliver
        self._destination = destination
        self._now = now
        self._changed = threading.Condition()
        self._state = _State(progress_at=now())
        self._thread: threading.Thread | None = None
        self._process = 0
        self._has_work = False
        self._is_stopping = False

    @property
    def problem(self) -> str | None:
        """Why the last attempt failed; ``None`` if it did not."""
        return self._state.problem

    def start(self) -> None:
        """Send what is in line, in the background, from now on."""
        with self._changed:
            self._has_work = True
            if self._thread is None or self._process != os.getpid():
                self._process = os.getpid()
                self._state.progress_at = self._now()
                self._thread = threading.Thread(
                    target=self._run, name="opik-eval-outbox", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def wait(self, up_to: int, *, timeout_seconds: float | None, patience_seconds: float) -> bool:
        """Wait until all entries up to a place have left the line.

        Args:
            up_to: The place.
            timeout_seconds: When to give up.
            patience_seconds: When to give up, without a timeout, after the last progress; at once
                if the server asks to wait for longer.

        Returns:
            Whether they have.
        """
        started = self._now()
        while self._outbox.is_waiting(up_to):
            state, now = self._state, self._now()
            since = max(started, state.progress_at)
            gives_up = (
                max(now, state.asked_until) - since > patience_seconds
                if timeout_seconds is None
                else now - started >= timeout_seconds
            )
            if gives_up or (state.is_blocked and state.failures > 0):
                return False
            with self._changed:
                self._changed.wait(_WAITING_POLL_SECONDS)
        return True

    def stop(self, timeout_seconds: float) -> None:
        """Stop after the batches under way."""
        with self._changed:
            self._is_stopping = True
            thread = self._thread if self._process == os.getpid() else None
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def pump(self) -> float | None:
        """Send what is in line now.

        Returns:
            Seconds after which to try again; ``None`` if the line is empty.
        """
        with self._outbox.lease() as is_held:
            if not is_held:
                return _LEASE_POLL_SECONDS
            result = self._drain()
        return None if result.problem is None else self._conclude(result)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._has_work and not self._is_stopping:
                    self._changed.wait()
                self._has_work = False
                if self._is_stopping:
                    return
            seconds = self._pump_logged()
            with self._changed:
                self._changed.notify_all()
                if seconds is not None:
                    self._has_work = True
                    deadline = self._now() + seconds
                    while not self._is_stopping and (left := deadline - self._now()) > 0:
                        self._changed.wait(left)

    def _pump_logged(self) -> float | None:
        try:
            return self.pump()
        except StorageError as error:  # the outbox's own file is full or gone, the key is refused
            if not self._is_stopping:
                logger.error("the outbox cannot be sent: %s", error)
            self._state.problem, self._state.is_blocked = str(error), True
            self._state.failures += 1
            return _BLOCKED_SECONDS

    def _drain(self) -> _Round:
        """Send all that is in line, or until something stands in the way."""
        line, result = _Line(self._outbox), _Round()
        with ThreadPoolExecutor(PARALLEL, "opik-eval-send") as pool:
            under_way: dict[Future[None], frozenset[str]] = {}
            while True:
                busy = frozenset[str]().union(*under_way.values())
                is_free = len(under_way) < PARALLEL and result.problem is None
                batch = line.take(busy) if is_free and not self._is_stopping else []
                if batch and not under_way and line.is_empty:
                    self._send(batch, result)  # also when Python ends and starts no more threads
                    self._note_progress(result)
                elif batch:
                    keys = frozenset(chain.from_iterable(map(Entry.keys, batch)))
                    under_way[pool.submit(self._send, batch, result)] = keys
                elif under_way:
                    for ended in wait(under_way, return_when=FIRST_COMPLETED).done:
                        del under_way[ended]
                        ended.result()
                    self._note_progress(result)
                else:
                    return result

    def _note_progress(self, result: _Round) -> None:
        state = self._state
        with self._changed:
            if result.problem is None:
                state.progress_at = self._now()
                state.failures, state.problem, state.is_blocked = 0, None, False
            self._changed.notify_all()

    def _send(self, batch: Sequence[Entry], result: _Round) -> None:
        try:
            reply = self._deliver(batch)
        except Unreachable as error:
            result.problem, result.headers = error.message, error.headers
            return
        if reply.is_success:
            self._outbox.delivered(batch)
            result.arrived += sum(entry.records for entry in batch)
        elif reply.status in RETRYABLE_STATUSES or reply.status in _BLOCKING_STATUSES:
            result.problem, result.headers = reply.explanation(), reply.headers
            result.is_blocked |= reply.status in _BLOCKING_STATUSES
        else:
            self._send_parts(batch, reply, result)

    def _send_parts(self, batch: Sequence[Entry], refusal: Reply, result: _Round) -> None:
        """Send the halves of a batch that was refused, down to the record that is to blame."""
        parts = batch if len(batch) > 1 else batch[0].parts()
        if len(parts) == 1:
            self._reject(parts[0], refusal)
            return
        half = len(parts) // 2
        self._send(parts[:half], result)
        self._send(parts[half:], result)

    def _reject(self, entry: Entry, reply: Reply) -> None:
        reason = reply.explanation()
        logger.error(
            "%s refuses %s %s: %s; it is kept in %s",
            self._destination,
            entry.kind.replace("_", " "),
            entry.key,
            reason,
            self._outbox.path,
        )
        self._outbox.rejected(entry, reason)

    def _conclude(self, result: _Round) -> float:
        """Note what stands in the way; return how long to wait before the next attempt."""
        state, now = self._state, self._now()
        if result.arrived:
            state.progress_at = now
        if state.problem != result.problem:
            logger.warning(
                "%s does not take records: %s; they wait in %s",
                self._destination,
                result.problem,
                self._outbox.path,
            )
        state.failures += 1
        state.problem, state.is_blocked = result.problem, result.is_blocked
        seconds = (
            _BLOCKED_SECONDS
            if result.is_blocked
            else wait_seconds(state.failures, result.headers, utc_now())
        )
        state.asked_until = now + (asked_seconds(result.headers, utc_now()) or 0.0)
        return seconds


class _Line:
    """The line, from its head on, cut into batches.

    Args:
        outbox: Where the entries are.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._read = list[Entry]()
        self._after = 0

    @property
    def is_empty(self) -> bool:
        """Whether what was last read of the line has been taken."""
        return not self._read

    def take(self, busy: Set[str]) -> list[Entry]:
        """Return the next batch; nothing where none may be sent now.

        Args:
            busy: Keys of what is under way.
        """
        if not self._read:
            most = BATCH_RECORDS * PARALLEL, BATCH_BYTES * PARALLEL
            self._read = self._outbox.head(*most, after=self._after)
        batch = next_batch(self._read, busy)
        if batch:
            self._after = batch[-1].seq
            del self._read[: len(batch)]
        return batch


def next_batch(entries: Sequence[Entry], busy: Set[str]) -> list[Entry]:
    """Return the entries at the head of a line that are sent together.

    A batch holds at most ``BATCH_RECORDS`` records and, but for a single entry, ``BATCH_BYTES``; an
    attachment is a batch of its own. It ends before an entry of a busy key: entries of one key
    arrive in their order.
    """
    batch: list[Entry] = []
    size, records = 0, 0
    for entry in entries:
        size += entry.size
        records += entry.records
        is_full = bool(batch) and (
            records > BATCH_RECORDS
            or size > BATCH_BYTES
            or entry.content is not None
            or batch[-1].content is not None
        )
        if is_full or (busy and not busy.isdisjoint(entry.keys())):
            break
        batch.append(entry)
    return batch
