"""Keeping a server's stores from growing for ever, and forgetting what has served its time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from opik_eval.errors import OpikEvalError
from opik_eval.records import utc_now
from opik_eval.server.otlp.ids import forget_ids_before
from opik_eval.storage.workspaces import Workspaces, WorkspaceStorage

_log = logging.getLogger("opik_eval.server.retention")
_INTERVAL_SECONDS = 600.0
_IDS_ARE_KEPT = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long and how much a workspace keeps; ``None`` = without limit.

    Attributes:
        days: Traces that started longer ago are deleted.
        gigabytes: The oldest traces are deleted until a workspace takes no more than this; a
            gigabyte is 1e9 bytes.
    """

    days: float | None = None
    gigabytes: float | None = None

    def apply(self, storage: WorkspaceStorage, now: datetime) -> int:
        """Delete what a workspace need not keep, and return how many traces that were."""
        deleted = 0
        if self.days is not None:
            deleted += storage.delete_traces_before(now - timedelta(days=self.days))
        if self.gigabytes is not None:
            deleted += storage.shrink_to(int(self.gigabytes * 1e9))
        return deleted


def prune(workspaces: Workspaces, retention: Retention, now: datetime) -> dict[str, int]:
    """Apply a retention to all workspaces.

    Returns:
        How many traces were deleted, by workspace.
    """
    deleted: dict[str, int] = {}
    for name in workspaces.names():
        storage = workspaces.storage(name)
        deleted[name] = retention.apply(storage, now)
        forget_ids_before(storage, now - _IDS_ARE_KEPT)
    return deleted


class Housekeeping:
    """Applies a retention now and every ten minutes, in a thread of its own.

    Args:
        workspaces: The workspaces of the server.
        retention: What they keep.
        now: The time.
    """

    def __init__(
        self,
        workspaces: Workspaces,
        retention: Retention,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._workspaces = workspaces
        self._retention = retention
        self._now = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, once the workspace at hand is done."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._prune()
            except OpikEvalError as error:
                _log.error("retention failed: %s", error.message)
            self._stop.wait(_INTERVAL_SECONDS)

    def _prune(self) -> None:
        for name, count in prune(self._workspaces, self._retention, self._now()).items():
            if count:
                _log.info("deleted %d traces", count, extra={"workspace": name})
