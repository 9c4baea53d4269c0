"""Writes to the store beside the run: nothing waits for it but the run's end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from opik_optimizer.events import Event, RunFailed, RunFinished

_PAUSE_SECONDS = 0.05
"""What a decision sets going starts first; then there is time, while models answer."""


class WriteBehind:
    """Hands events to a listener in another thread, one at a time and in their order.

    With the event that ends a run it waits until the listener has had them all, so a finished run
    is stored in full. What the listener raises is raised from the next event on, at the latest
    from the last one.

    Args:
        handle: The listener's ``on_event``.
        kinds: Types of the events it cares for; the others are not handed over.

    Example:
        >>> from opik_optimizer.events import RunFailed, SearchStopped
        >>> seen = []
        >>> behind = WriteBehind(seen.append, (SearchStopped, RunFailed))
        >>> behind.on_event(SearchStopped(optimization_id="1", reason="max_trials"))
        >>> behind.on_event(
        ...     RunFailed(optimization_id="1", error=KeyboardInterrupt(), status="cancelled")
        ... )
        >>> [type(event).__name__ for event in seen]
        ['SearchStopped', 'RunFailed']
    """

    def __init__(self, handle: Callable[[Event], None], kinds: tuple[type[Event], ...]) -> None:
        self._handle = handle
        self._kinds = kinds
        self._waiting: deque[Event] = deque()
        self._is_due = False
        self._is_over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._failure: BaseException | None = None

    def on_event(self, event: Event) -> None:
        """Take an event.

        Raises:
            BaseException: What the listener raised at an earlier event, or at this one if it is the
                last of the run.
        """
        if not isinstance(event, self._kinds):
            return
        self._waiting.append(event)
        if isinstance(event, RunFinished | RunFailed):
            self._is_over.set()
            self._hand_over()
        elif not self._is_due:
            self._is_due = True
            threading.Thread(
                target=self._hand_over_later, name="opik-optimizer-records", daemon=True
            ).start()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _hand_over_later(self) -> None:
        self._is_over.wait(_PAUSE_SECONDS)
        self._is_due = False
        self._hand_over()

    def _hand_over(self) -> None:
        with self._one_at_a_time:
            while self._waiting:
                try:
                    self._handle(self._waiting.popleft())
                except BaseException as error:  # noqa: BLE001 - raised where the run can end
                    self._failure = self._failure or error
