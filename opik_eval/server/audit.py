"""The audit trail: one line for every change, on disk before the change is acknowledged."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

from opik_eval.errors import OpikEvalError
from opik_eval.ids import new_id, time_of
from opik_eval.records import Document, utc_now
from opik_eval.storage.base import DocumentStore

_log = logging.getLogger("opik_eval.server.audit")
_KIND = "audit"
_LARGEST_BATCH = 500
_DELETED_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class AuditLine:
    """One change.

    Attributes:
        key: Prefix of the key that made it; ``-`` for the command line.
        user: Name of that key.
        workspace: Where.
        method: Method of the request, or ``CLI``.
        route: Path of the route with its parameters as ``{name}``, or the command.
        status: Status of the answer; 0 for the command line.
        request_id: Id of the request, as in the access log.
        target: Path of the request, which says what was changed.
    """

    key: str
    user: str
    workspace: str
    method: str
    route: str
    status: int = 0
    request_id: str = ""
    target: str = ""

    def document(self) -> Document:
        """Return the document that keeps it."""
        body = {name: value for name, value in asdict(self).items() if name != "workspace"}
        now = utc_now()
        return Document(id=new_id(), kind=_KIND, name=self.workspace, body=body, created_at=now)


@dataclass(frozen=True)
class PastLine:
    """A line of the trail, and when it was written."""

    at: datetime
    line: AuditLine


def audited(
    control: DocumentStore, *, workspace: str | None = None, limit: int | None = None
) -> list[PastLine]:
    """Return the latest lines of the trail, oldest first.

    Args:
        control: Where the trail is kept.
        workspace: Only lines of this workspace.
        limit: Greatest number of lines.
    """
    return list(deque(_lines(control, workspace), maxlen=limit))


def forget_before(control: DocumentStore, moment: datetime) -> int:
    """Delete the lines of the trail that are older than a time, and return how many."""
    old = [
        document.id
        for document in control.list_documents(_KIND)
        if document.created_at is not None and document.created_at < moment
    ]
    for start in range(0, len(old), _DELETED_AT_ONCE):
        control.delete_documents(_KIND, old[start : start + _DELETED_AT_ONCE])
    return len(old)


def note(control: DocumentStore, line: AuditLine) -> None:
    """Write one line of the trail."""
    control.put_documents([line.document()])


class AuditTrail:
    """Writes lines in a thread of its own: all that wait, in one transaction.

    Args:
        control: Where the trail is kept.
    """

    def __init__(self, control: DocumentStore) -> None:
        self._control = control
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    async def note(self, line: AuditLine) -> None:
        """Write a line; return when it is on disk.

        A line that cannot be written is in the log, which says so; the change has happened.
        """
        _log.info(
            "%s %s", line.method, line.route, extra={k: v for k, v in asdict(line).items() if v}
        )
        written: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._waiting.put(_Entry(line, written))
        try:
            await asyncio.wrap_future(written)
        except OpikEvalError as error:
            _log.error("an audit line was not stored: %s; it is %s", error.message, line)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            entries, is_last = [first], False
            while len(entries) < _LARGEST_BATCH and not self._waiting.empty():
                entry = self._waiting.get()
                if entry is None:
                    is_last = True
                    break
                entries.append(entry)
            self._write(entries)
            if is_last:
                return

    def _write(self, entries: list[_Entry]) -> None:
        try:
            self._control.put_documents([entry.line.document() for entry in entries])
        except OpikEvalError as error:
            for entry in entries:
                entry.written.set_exception(error)
        else:
            for entry in entries:
                entry.written.set_result(None)


@dataclass(frozen=True)
class _Entry:
    line: AuditLine
    written: concurrent.futures.Future[None]


def _lines(control: DocumentStore, workspace: str | None) -> Iterator[PastLine]:
    for document in control.list_documents(_KIND, name=workspace):
        values = {**document.body, "workspace": document.name or ""}
        line = AuditLine(**cast("dict[str, str]", values))  # type: ignore[arg-type]  # as written
        yield PastLine(document.created_at or time_of(document.id), line)
