"""The sender: takes what is in the outbox to the server, in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from opik_eval.errors import StorageError
from opik_eval.records import utc_now
from opik_eval.storage.http_connection import Reply, Unreachable
from opik_eval.storage.http_retry import RETRYABLE_STATUSES, asked_seconds, wait_seconds
from opik_eval.storage.outbox import Entry, Outbox

logger = logging.getLogger("opik_eval.storage")

BATCH_RECORDS = 1000
BATCH_BYTES = 3_500_000
PARALLEL = 3
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
    """What became of one round of batches."""

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
        while self._outbox.count_waiting(up_to=up_to):
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
            while not self._is_stopping:
                entries = self._outbox.head(BATCH_RECORDS * PARALLEL, BATCH_BYTES * PARALLEL)
                if not entries:
                    return None
                seconds = self._conclude(self._send_round(plan_round(entries)))
                if seconds is not None:
                    return seconds
        return None

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

    def _send_round(self, batches: Sequence[Sequence[Entry]]) -> _Round:
        result = _Round()
        if len(batches) == 1:
            self._send(batches[0], result)
            return result
        with ThreadPoolExecutor(PARALLEL, "opik-eval-send") as pool:
            for ended in [pool.submit(self._send, batch, result) for batch in batches]:
                ended.result()
        return result

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

    def _conclude(self, result: _Round) -> float | None:
        """Note how a round went; return how long to wait before the next one, if at all."""
        state, now = self._state, self._now()
        if result.arrived or result.problem is None:
            state.progress_at = now
        if result.problem is None:
            state.failures, state.problem, state.is_blocked = 0, None, False
            return None
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


def plan_round(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the batches that may be under way at the same time, from the head of the line.

    A batch holds at most ``BATCH_RECORDS`` records and, but for a single one, ``BATCH_BYTES``; an
    attachment is a batch of its own. Where an entry's key is in an earlier batch already, the round
    ends before it: entries of one key arrive in their order.
    """
    batches: list[list[Entry]] = []
    place: dict[tuple[str, str], int] = {}
    size, records = 0, 0
    for entry in entries:
        is_full = (
            not batches
            or records + entry.records > BATCH_RECORDS
            or size + entry.size > BATCH_BYTES
            or entry.content is not None
            or batches[-1][0].content is not None
        )
        if is_full and len(batches) == PARALLEL:
            break
        target = len(batches) if is_full else len(batches) - 1
        names = entry.names()
        if any(place.get(name, target) != target for name in names):
            break
        place.update(dict.fromkeys(names, target))
        if is_full:
            batches.append([])
            size, records = 0, 0
        batches[-1].append(entry)
        size += entry.size
        records += entry.records
    return batches
