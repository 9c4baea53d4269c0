"""The process's tracer: where ``@track`` and the context managers send what they record.

It is made on first use from the settings, or by ``configure_tracing``, and opens its store in the
background, so that a missing disk or server never stops the traced program. At exit it waits for
what is pending; what could not be stored is logged as an error.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from opik_eval.config import settings
from opik_eval.records import Attachment
from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.tracing.delivery import RecordStore
from opik_eval.tracing.sink import Emitted
from opik_eval.tracing.writer import BackgroundWriter

logger = logging.getLogger("opik_eval.tracing")
EXIT_FLUSH_SECONDS = 10.0


class Tracer:
    """A sink that stores what it is given, in the background.

    After a fork the child starts with an empty queue (the parent delivers what it holds) and, where
    the tracer opened the store itself, with a store of its own.

    Args:
        storage: A storage, or a target for ``open_storage``; ``None`` = what the settings say.
        project_name: Project of traces that name none.
        environment: Name of the deployment, put on every trace.
    """

    def __init__(
        self,
        storage: Storage | str | None = None,
        *,
        project_name: str | None = None,
        environment: str | None = None,
    ) -> None:
        self.project_name = project_name or settings().project_name
        self.environment = environment or settings().environment
        self._storage = storage
        self._lock = threading.RLock()
        self._writer: BackgroundWriter | None = None
        self._store: RecordStore | None = None

    @property
    def target(self) -> str | None:
        """Where it stores, for ``open_storage``; ``None`` = what the settings say."""
        storage = self._storage
        return storage if storage is None or isinstance(storage, str) else storage.location

    def emit(self, record: Emitted) -> None:
        """Take a record to store."""
        (self._writer or self._start()).emit(record)

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until what was recorded is stored; see ``BackgroundWriter.flush``."""
        writer = self._writer
        return FlushReport() if writer is None else writer.flush(timeout_seconds)

    def close(self, timeout_seconds: float | None = EXIT_FLUSH_SECONDS) -> FlushReport:
        """Flush, log losses, and close the store if it was opened here; ``emit`` opens it again."""
        with self._lock:
            writer, store = self._writer, self._store
            self._writer = self._store = None
            if self in _process.started:
                _process.started.remove(self)
        if writer is None:
            return FlushReport()
        report = writer.close(timeout_seconds)
        if not report.complete:
            logger.error("%s", _loss(report))
        if isinstance(store, _LazyStore):
            store.close()
        return report

    def begin_anew(self) -> None:
        """Forget queue, thread and open store: in a forked child they belong to the parent."""
        self._lock = threading.RLock()
        self._writer = self._store = None

    def _start(self) -> BackgroundWriter:
        with self._lock:
            if self._writer is None:
                given: RecordStore | str | None = self._storage
                if given is None or isinstance(given, str):
                    given = _LazyStore(given)
                self._store, self._writer = given, BackgroundWriter(given)
                _process.started.append(self)
                _close_with_worker()
            return self._writer


class _LazyStore:
    """Opens its store when it is first needed, which is in the writer's thread."""

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._lock = threading.RLock()
        self._opened: Storage | None = None

    def write(self, records: Iterable[Writable]) -> None:
        self._storage().write(records)

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        self._storage().put_attachment(attachment, content)

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        opened = self._opened
        return FlushReport() if opened is None else opened.flush(timeout_seconds)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _storage(self) -> Storage:
        with self._lock:
            if self._opened is None:
                # Late: backends are loaded only where something is traced.
                from opik_eval.storage.opening import open_storage

                self._opened = open_storage(self._target)
            return self._opened


class _Process:
    """What is one per process: the tracer, the switch, the tracers to close at exit."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tracer: Tracer | None = None
        self.started: list[Tracer] = []
        self.active: bool | None = None

    def close_all(self) -> None:
        for tracer in tuple(self.started):
            tracer.close()

    def begin_anew(self) -> None:
        """Forget, in a forked child, what its parent goes on with."""
        self.lock = threading.RLock()
        for tracer in self.started:
            tracer.begin_anew()
        self.started.clear()


_process = _Process()


def process_tracer() -> Tracer:
    """Return the process's tracer; made from the settings on first use."""
    with _process.lock:
        return _process.tracer or configure_tracing()


def configure_tracing(
    storage: Storage | str | None = None,
    *,
    project_name: str | None = None,
    environment: str | None = None,
) -> Tracer:
    """Choose where traces go from now on; what runs already ends where it began.

    Args:
        storage: A storage, or a target such as ``file:traces.db``; ``None`` = as the settings say.
        project_name: Project of traces that name none.
        environment: Name of the deployment, put on every trace.

    Returns:
        The new tracer.
    """
    with _process.lock:
        _process.tracer = Tracer(storage, project_name=project_name, environment=environment)
        return _process.tracer


def flush_tracker(timeout_seconds: float | None = None) -> FlushReport:
    """Wait until everything traced so far is stored, and tell the truth about it.

    Example:
        >>> flush_tracker().complete
        True
    """
    tracer = _process.tracer
    return FlushReport() if tracer is None else tracer.flush(timeout_seconds)


def is_tracing_active() -> bool:
    """Tell whether new traces and spans are recorded."""
    return not settings().track_disable if _process.active is None else _process.active


def set_tracing_active(active: bool) -> None:
    """Switch recording on or off for the whole process; what runs already still ends as begun."""
    _process.active = active


def reset_tracing_to_config_default() -> None:
    """Let the settings (``OPIK_TRACK_DISABLE``) decide again."""
    _process.active = None


def _close_with_worker() -> None:
    """Flush at the end of a worker process; those of multiprocessing leave without atexit."""
    # Imported late: it is only of use where some pool has loaded it anyway.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        util = importlib.import_module("multiprocessing.util")
        util.Finalize(_process, _process.close_all, exitpriority=100)


def _loss(report: FlushReport) -> str:
    reasons = "; ".join(sorted(set(report.rejected)))
    lost = f"{len(report.rejected)} trace records were lost ({reasons}). " if reasons else ""
    why = f" ({report.problem})" if report.problem else ""
    late = f"{report.pending} trace records were not delivered yet{why}." if report.pending else ""
    return (lost + late).strip()


atexit.register(_process.close_all)
os.register_at_fork(after_in_child=_process.begin_anew)
