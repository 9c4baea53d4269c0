"""Python's garbage collector while units come in floods.

Every object that waits in a batch for the store looks like one that has come to stay, and for each
quarter more of those CPython visits all that is alive. The more results a run holds, the longer
that takes: without this, 100 000 quick units took a third longer each than 10 000. What the engine
makes is free of cycles, so that during a flood the collector may look at the young objects less
often. Slow units, whose garbage may be large, leave it as it is.
"""

from __future__ import annotations

import gc
import threading

_YOUNG_OBJECTS = 200_000
"""Several times what waits in full batches: a look at those finds nothing to free."""


class CalmCollector:
    """Makes the collector run less often while at least one recorder says that it may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calmed_by: set[int] = set()
        self._usual: tuple[int, int, int] = gc.get_threshold()

    def calm(self, owner: object) -> None:
        """Let it run less often, until ``owner`` wakes it."""
        if id(owner) in self._calmed_by:
            return
        with self._lock:
            if not self._calmed_by:
                self._usual = gc.get_threshold()
                young, *older = self._usual
                if young:  # 0 turns it off
                    gc.set_threshold(max(young, _YOUNG_OBJECTS), *older)
            self._calmed_by.add(id(owner))

    def wake(self, owner: object) -> None:
        """Let it run as usual, as far as ``owner`` is concerned."""
        if id(owner) not in self._calmed_by:
            return
        with self._lock:
            self._calmed_by.discard(id(owner))
            if not self._calmed_by:
                gc.set_threshold(*self._usual)


collector = CalmCollector()
"""There is one of them in a process."""
