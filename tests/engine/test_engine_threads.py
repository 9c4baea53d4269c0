"""The pool of daemon threads."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, wait

import pytest

from opik_eval.engine.threads import DaemonThreads


def ended(name: str) -> bool:
    """Wait for the threads of a name to end."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(20)
    return not any(thread.name == name for thread in threading.enumerate())


def test_results_and_exceptions_reach_the_future() -> None:
    """A call's value or exception, whatever its kind, is handed to whoever waits."""
    pool = DaemonThreads(2, name="pool-results")
    assert pool.submit(divmod, 7, 3).result(20) == (2, 1)
    assert isinstance(pool.submit(int, "x").exception(20), ValueError)
    assert isinstance(pool.submit(_exit).exception(20), SystemExit)
    pool.shutdown(wait=False)
    assert ended("pool-results")


def _exit() -> None:
    raise SystemExit(2)


def test_never_more_threads_than_the_limit_and_they_are_daemons() -> None:
    """Calls beyond the limit wait for a thread; no thread keeps the process alive."""
    pool = DaemonThreads(3, name="pool-limit")
    release = threading.Event()
    futures = [pool.submit(release.wait, 20) for _ in range(10)]
    threads = [thread for thread in threading.enumerate() if thread.name == "pool-limit"]
    assert len(threads) == 3
    assert all(thread.daemon for thread in threads)
    release.set()
    wait(futures, 20)
    assert all(future.result() for future in futures)
    pool.shutdown(wait=False)
    assert ended("pool-limit")


def test_idle_threads_are_used_again() -> None:
    """Calls one after the other need one thread."""
    pool = DaemonThreads(8, name="pool-reuse")
    before = threading.Event()
    used = {pool.submit(threading.get_ident).result(20)}
    for _ in range(5):
        # The thread counts as idle a moment after its result is there.
        while not pool._idle:
            before.wait(0.001)
        used.add(pool.submit(threading.get_ident).result(20))
    assert len(used) == 1
    pool.shutdown(wait=False)
    assert ended("pool-reuse")


def test_cancelled_calls_are_skipped() -> None:
    """A call that is cancelled while it waits never runs."""
    pool = DaemonThreads(1, name="pool-cancel")
    release, calls = threading.Event(), list[int]()
    first = pool.submit(release.wait, 20)
    second = pool.submit(calls.append, 1)
    assert second.cancel()
    release.set()
    assert first.result(20)
    pool.shutdown(wait=False)
    assert ended("pool-cancel")
    assert calls == []
    with pytest.raises(CancelledError):
        second.result(0)


def test_shutdown_runs_what_is_queued_and_takes_nothing_more() -> None:
    """After shutdown queued calls still run, without waiting for them, and new ones are refused."""
    pool = DaemonThreads(1, name="pool-shutdown")
    release, calls = threading.Event(), list[int]()
    pool.submit(release.wait, 20)
    pool.submit(calls.append, 1)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(calls.append, 2)
    release.set()
    assert ended("pool-shutdown")
    assert calls == [1]
