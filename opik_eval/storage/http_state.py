"""What the parts of the HTTP backend share: the server, the outbox, and when to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from opik_eval.errors import ConfigError, UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import (
    Attachment,
    Dataset,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    Span,
    Trace,
    one_by_one,
)
from opik_eval.serialization import dumps
from opik_eval.storage.base import FlushReport, Writable
from opik_eval.storage.http_connection import Connection, Reply
from opik_eval.storage.http_dialect import Dialect
from opik_eval.storage.http_native import NativeDialect, wire_version
from opik_eval.storage.http_opik import OpikDialect
from opik_eval.storage.merge import key_of
from opik_eval.storage.outbox import Entry, Outbox
from opik_eval.storage.outbox_sender import Sender
from opik_eval.storage.query import AllOf, AnyOf, Condition, Entity, Filter, check_filter
from opik_eval.storage.wire import KINDS, attachment_to_wire, kind_of, record_to_wire

R = TypeVar("R", bound=Record)
_WRITABLE: tuple[type[Record], ...] = (
    Project,
    Trace,
    Span,
    FeedbackScore,
    Dataset,
    Experiment,
    ExperimentItem,
    Prompt,
    PromptVersion,
    Optimization,
)
_NAMES = {kind: name for name, kind in KINDS.items()}
_NAMED = (Dataset, Prompt)
_CLOSING_SECONDS = 5.0
_GROUPED: tuple[type[Trace | Span], ...] = (Trace, Span)
_ENTRY_RECORDS = 500
_ENTRY_BYTES = 1 << 20


class HttpState:
    """One server and the outbox of what goes there.

    Args:
        connection: The server.
        outbox: Where to keep records until they have arrived.
        dialect: How to speak to the server; found out by asking it if ``None``.
        patience_seconds: How long to wait for a server that does not answer.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Path,
        *,
        dialect: Dialect | None = None,
        patience_seconds: float,
    ) -> None:
        self.connection = connection
        self.outbox = Outbox(outbox, owner=new_id())
        self.sender = Sender(self.outbox, self._deliver, destination=connection.url)
        self._dialect = dialect
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._written = 0
        self._last = 0
        self._is_closed = False
        if self.outbox.count_waiting():
            self.sender.start()

    def dialect(self) -> Dialect:
        """Return how to speak to the server, after what was written has arrived there.

        Raises:
            UnavailableError: The server cannot be reached, refuses, or the storage is closed.
        """
        self.settle()
        return self.connection.retried(self._know)

    def settle(self) -> None:
        """Wait until everything that this storage has written can be read.

        Raises:
            UnavailableError: Something cannot be delivered now.
        """
        self.check_open()
        if self._wait(None):
            return
        raise UnavailableError(
            f"{self.outbox.count_waiting(own=True)} records wait in {self.outbox.path} because "
            f"{self.connection.url} does not take them: {self.sender.problem}",
            remedy="they are safe, and are sent as soon as the server takes them; try again then",
        )

    def write(self, records: Iterable[Writable]) -> None:
        """Keep records for the server; those with names that may be taken go there at once."""
        self.check_open()
        given = one_by_one(records)
        for record in given:
            if type(record) not in _WRITABLE:
                raise ConfigError(
                    f"write does not take records of type {type(record).__name__}",
                    remedy="write items of datasets with change_items, files with put_attachment",
                )
        if any(isinstance(record, _NAMED) for record in given):
            self.dialect().write_now(given)
            with self._lock:
                self._written += len(given)
        elif given:
            self.put([*_entries(given)])

    def put_attachment(self, attachment: Attachment, content: bytes) -> None:
        """Keep a file for the server."""
        self.check_open()
        payload = dumps(attachment_to_wire(attachment))
        self.put([Entry("attachment", attachment.id, payload, content)])

    def put(self, entries: Sequence[Entry]) -> None:
        """Commit entries to the outbox and see to it that they are sent."""
        last = self.outbox.put(entries)
        with self._lock:
            self._last = max(self._last, last)
            self._written += sum(entry.records for entry in entries)
        self.sender.start()

    def flush(self, timeout_seconds: float | None) -> FlushReport:
        """Wait until what was written has arrived, and say what has become of it."""
        self.check_open()
        self._wait(timeout_seconds)
        pending = self.outbox.count_waiting(own=True)
        refused = self.outbox.rejections(own=True)
        return FlushReport(
            delivered=self._written - pending - len(refused),
            pending=pending,
            rejected=tuple(f"{kind} {key}: {reason}" for kind, key, reason in refused),
            problem=self.sender.problem if pending else None,
        )

    def check_open(self) -> None:
        """Raise ``UnavailableError`` if the storage is closed."""
        if self._is_closed:
            raise UnavailableError(
                f"the storage {self.connection.url} is closed", remedy="open it again"
            )

    def close(self) -> None:
        """Give records under way a moment to arrive; the rest waits for the next process."""
        if self._is_closed:
            return
        if self.sender.problem is None:
            self._wait(_CLOSING_SECONDS)
        self._is_closed = True
        self.sender.stop(_CLOSING_SECONDS)
        self.outbox.close()
        self.connection.close()

    def find(self, kind: type[R], value: str) -> R | None:
        """Return the record of a name or id."""
        return cast("R | None", self.dialect().find(_NAMES[kind], value))

    def select(self, kind: type[R], arguments: Mapping[str, object]) -> Iterator[R]:
        """Yield the records that ``list_...`` with these arguments gives; ``None`` = not given."""
        name = _NAMES[kind]
        given = {key: value for key, value in arguments.items() if value is not None}
        where = simplified(cast("Filter | None", given.pop("where", None)))
        if where is not None:
            check_filter(where, cast("Entity", name))
        dialect = self.dialect()
        if where == AnyOf(()):
            return
        if where is not None and where != AllOf(()):
            given["where"] = where
        yield from cast("Iterator[R]", dialect.list(name, given))

    def _wait(self, timeout_seconds: float | None) -> bool:
        with self._lock:
            last = self._last
        return self.sender.wait(
            last, timeout_seconds=timeout_seconds, patience_seconds=self._patience_seconds
        )

    def _deliver(self, batch: Sequence[Entry]) -> Reply:
        return self._know().deliver(batch)

    def _know(self) -> Dialect:
        with self._lock:
            if self._dialect is not None:
                return self._dialect
        version = wire_version(self.connection)
        found: Dialect = (
            NativeDialect(self.connection, version) if version else OpikDialect(self.connection)
        )
        with self._lock:
            self._dialect = found
        return found


def simplified(where: Filter | None) -> Filter | None:
    """Return a filter without parts that are always true or always false, unless it is one."""
    if where is None or isinstance(where, Condition):
        return where
    parts = tuple(part for part in map(simplified, where.parts) if part is not None)
    false, true = AnyOf(()), AllOf(())
    if isinstance(where, AllOf):
        return false if false in parts else AllOf(tuple(part for part in parts if part != true))
    return true if true in parts else AnyOf(tuple(part for part in parts if part != false))


def _entries(records: Sequence[Record]) -> Iterator[Entry]:
    """Yield entries of up to 500 records; where that makes more than a megabyte, of fewer."""
    for start in range(0, len(records), _ENTRY_RECORDS):
        part = records[start : start + _ENTRY_RECORDS]
        others = [record for record in part if type(record) not in _GROUPED]
        found = [
            Entry.of_group(alike)
            for kind in _GROUPED
            if (alike := [record for record in part if type(record) is kind])
        ]
        if others:
            names = [(kind_of(record), "\x1f".join(key_of(record))) for record in others]
            found.append(Entry.of_many(names, [*map(record_to_wire, others)]))
        for entry in found:
            yield from entry.parts() if entry.size > _ENTRY_BYTES else [entry]
