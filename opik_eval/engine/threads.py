"""A thread pool whose threads never keep a process alive.

``concurrent.futures`` joins its threads at interpreter exit, so one stuck call would hang a program
that the user has interrupted. These threads are daemons and start only when there is work.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Job = Callable[[], None]


class DaemonThreads(Executor):
    """An executor of at most ``limit`` daemon threads.

    Args:
        limit: Most threads.
        name: Prefix of the threads' names.
    """

    def __init__(self, limit: int, *, name: str) -> None:
        self._limit = limit
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in one of the threads."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                future.set_exception(error)

        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is shut down")
            must_start = self._idle == 0 and self._threads < self._limit
            self._threads += must_start
            self._idle -= not must_start and self._idle > 0
        self._jobs.put(job)
        if must_start:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - Executor's signature
        """End the threads after what is queued; never waits for a running call."""
        with self._lock:
            self._closed = True
            count = self._threads
        for _ in range(count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._idle += 1
