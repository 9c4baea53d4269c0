"""The bridge from synchronous code to coroutines: results, interrupts, threads, forks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opik_eval.concurrency import background_loop, run_sync

place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


def test_results_and_errors_come_back():
    """The caller gets what the coroutine returns or raises."""

    async def divide(a: int, b: int) -> float:
        await asyncio.sleep(0)
        return a / b

    assert run_sync(lambda: divide(6, 3)) == 2
    with pytest.raises(ZeroDivisionError):
        run_sync(lambda: divide(1, 0))


def test_what_fails_before_it_is_a_coroutine():
    """An error in making the coroutine is the caller's as well."""

    def start():
        raise LookupError("no coroutine")

    with pytest.raises(LookupError, match="no coroutine"):
        run_sync(start)


def test_one_loop_in_one_thread_for_all():
    """Threads share one loop, so that connections outlast calls; it does not hold up the exit."""

    async def where():
        return asyncio.get_running_loop(), threading.current_thread()

    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: run_sync(where), range(40)))
    assert len(places) == 1
    ((loop, thread),) = places
    assert loop is background_loop()
    assert thread.daemon


def test_context_variables_come_along():
    """The coroutine sees the caller's context variables, and cannot change the caller's."""

    async def look():
        seen = place.get()
        place.set("inside")
        return seen

    token = place.set("outside")
    assert run_sync(look) == "outside"
    assert place.get() == "outside"
    place.reset(token)


def test_inside_a_running_loop():
    """It works where a loop is running already, as in a notebook."""

    async def inner():
        return 1

    async def outer():
        return run_sync(inner)

    assert asyncio.run(outer()) == 1


def test_on_the_background_loop_it_raises():
    """Waiting on the loop for itself would never end, so it is an error."""

    async def inner():
        return run_sync(inner)

    with pytest.raises(RuntimeError, match="await the coroutine instead"):
        run_sync(inner)


def test_a_coroutine_that_is_cancelled_from_inside():
    """Cancellation by somebody else reaches the caller as what it is."""

    async def give_up():
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        run_sync(give_up)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_inside_ends_the_caller_alone(kind):
    """``sys.exit`` in a coroutine reaches its caller; others on the loop go on."""
    begun, release = threading.Event(), threading.Event()

    async def other():
        begun.set()
        await asyncio.to_thread(release.wait)
        return "finished"

    async def leave():
        raise kind(3)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_sync, other)
        begun.wait()
        with pytest.raises(kind):
            run_sync(leave)
        release.set()
        assert waiting.result(10) == "finished"


class AlarmError(Exception):
    """What a signal handler of the user raises."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, AlarmError, SystemExit])
def test_an_interrupt_cancels_and_waits_for_cleanup(kind):
    """An interrupt is raised again only after the coroutine has cleaned up."""
    steps = []

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)  # begun: now interrupt the waiting main thread
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            steps.append("cleaned up")

    with interrupting(kind), pytest.raises(kind):
        run_sync(work)
    assert steps == ["cleaned up"]


def test_an_interrupt_that_the_coroutine_survives():
    """A coroutine that finishes in spite of its cancellation is waited for all the same."""
    steps = []

    async def stubborn():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("finished")
        return "done"

    with interrupting(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_sync(stubborn)
    assert steps == ["finished"]


def test_a_second_interrupt_ends_the_waiting():
    """Whoever interrupts twice does not wait for a cleanup that hangs."""
    cleaned = threading.Event()
    release = threading.Event()

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.to_thread(release.wait)
            cleaned.set()

    with interrupting(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_sync(work)
    assert not cleaned.is_set()
    release.set()
    assert cleaned.wait(10)


def test_an_interrupt_before_the_start(monkeypatch):
    """Interrupted before the loop was asked, nothing runs and nothing waits."""
    ran = []

    async def work():
        ran.append(1)

    loop = background_loop()
    ask = loop.call_soon_threadsafe

    def refuse(callback, *arguments):
        monkeypatch.setattr(loop, "call_soon_threadsafe", ask)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", refuse)
    with pytest.raises(KeyboardInterrupt):
        run_sync(work)
    assert ran == []


FORK = """
import asyncio, os, sys
from opik_eval.concurrency import background_loop, run_sync

async def pid():
    await asyncio.sleep(0)
    return os.getpid()

parent = run_sync(pid)
loop = background_loop()
child = os.fork()
if child == 0:
    assert run_sync(pid) == os.getpid() != parent
    assert background_loop() is not loop
    sys.stdout.write("child ")
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert run_sync(pid) == parent
sys.stdout.write("parent")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_starts_its_own_loop():
    """After a fork both processes work, each with a loop of its own, and nothing warns."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("child parent", "", 0)


class interrupting:  # noqa: N801 - reads as a statement
    """Make SIGUSR1 raise in the main thread."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        def handler(*_: object) -> None:
            raise self.kind

        self.before = signal.signal(signal.SIGUSR1, handler)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGUSR1, self.before)
