"""Where finished records go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opik_eval.records import FeedbackScore, Span, Trace


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file on its way to the store; it becomes a ``records.Attachment`` when it is written.

    Attributes:
        entity_type: ``trace`` or ``span``.
        content: The bytes, or the file that holds them.
        temporary: The file is a private copy, deleted once it is stored.
    """

    id: str
    entity_type: str
    entity_id: str
    file_name: str
    mime_type: str
    content: bytes | Path
    temporary: bool = False


Emitted = Trace | Span | FeedbackScore | Upload
"""What traces and spans give off."""


class Sink(Protocol):
    """Takes finished records, from any thread and without failing its caller."""

    def emit(self, record: Emitted) -> None:
        """Take one record."""
        ...


class NullSink:
    """Forgets everything: the sink of states that are made while tracing is off."""

    def emit(self, record: Emitted) -> None:
        """Drop the record."""


class CollectingSink:
    """Keeps records until they are taken; what comes later goes to another sink.

    Spans of work that outlives its task are emitted after the task's records were taken. The
    fallback stores them, so that nothing is lost. Files go to the fallback at once.

    Args:
        fallback: Takes files, and records that come after ``take``.
    """

    def __init__(self, fallback: Sink) -> None:
        self._fallback = fallback
        # No lock: every record is popped exactly once, by ``take`` or by an ``emit`` that sees
        # that ``take`` has begun. So spans may end in the garbage collector or a forked child.
        self._records: deque[Trace | Span | FeedbackScore] = deque()
        self._taken = False

    def emit(self, record: Emitted) -> None:
        """Keep the record, or pass it on if the others are already taken."""
        if isinstance(record, Upload):
            self._fallback.emit(record)
            return
        self._records.append(record)
        if self._taken:
            for late in self._popped():
                self._fallback.emit(late)

    def take(self) -> list[Trace | Span | FeedbackScore]:
        """Return what was collected, in order of emission; from now on records pass through."""
        self._taken = True
        return self._popped()

    def _popped(self) -> list[Trace | Span | FeedbackScore]:
        popped: list[Trace | Span | FeedbackScore] = []
        try:
            while self._records:
                popped.append(self._records.popleft())
        except IndexError:
            pass  # another thread has popped the last one
        return popped
