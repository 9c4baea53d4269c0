"""A bridge from synchronous code to coroutines: one event loop in one background thread.

``run_sync`` works everywhere: in plain scripts, in worker threads and in notebooks whose own loop
is already running. Clients that hold connections live on this loop, so they outlast single calls.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class _Background:
    """The thread and its loop, which are there from first use to the end of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def begin_anew(self) -> None:
        """Forget, in a forked child, a thread that did not come along."""
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(loop,), name="opik-eval-loop", daemon=True
                )
                self._thread.start()
                self._loop = loop  # only once something runs it
            return self._loop

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the process's background event loop, started on first use."""
    return _background.loop()


def run_sync(start: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run a coroutine on the background loop and wait for its result.

    An interrupt while waiting (Ctrl-C, a signal handler that raises) cancels the coroutine, waits
    for it to wind up and is raised again, so that cleanup inside the coroutine always runs. A
    second interrupt ends the waiting; the cleanup goes on in the background.

    Args:
        start: Makes the coroutine; called on the background loop, with the caller's context
            variables.

    Raises:
        RuntimeError: Called from the background loop itself, where waiting would never end.

    Example:
        >>> async def answer() -> int:
        ...     return 42
        >>> run_sync(answer)
        42
    """
    loop = background_loop()
    if _background.is_current():
        raise RuntimeError("run_sync called on the background loop: await the coroutine instead")
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    async def supervised() -> T:
        return await start()

    def launch() -> None:
        task = loop.create_task(supervised())
        task.add_done_callback(lambda ended: _hand_over(ended, outcome))
        tasks.append(task)

    def cancel() -> None:
        # The loop calls in order: here the task is there, or it was never asked for.
        if tasks:
            tasks[0].cancel()
        else:
            outcome.set_exception(asyncio.CancelledError())

    try:
        loop.call_soon_threadsafe(launch)
        return outcome.result()
    except BaseException:
        if not outcome.done():  # the waiting was interrupted, not the coroutine
            loop.call_soon_threadsafe(cancel)
            wait([outcome])
        raise


def _hand_over(task: asyncio.Task[T], outcome: Future[T]) -> None:
    if task.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        # SystemExit of a coroutine stops the loop as well as its task; whoever awaits the task gets
        # it, and all others go on.
        with suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()


_background = _Background()
os.register_at_fork(after_in_child=_background.begin_anew)
