"""The write-ahead log is moved into the file beside the writers."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from opik_eval.errors import UnavailableError
from opik_eval.records import Trace
from opik_eval.storage.file import FileStorage
from opik_eval.storage.file_checkpoints import Checkpointer


def write(storage: FileStorage, first: int, count: int) -> None:
    """Write so many traces, in batches."""
    for start in range(first, first + count, 1000):
        storage.write([Trace(id=f"{n:08}", name="ask") for n in range(start, start + 1000)])


def checkpoints() -> list[threading.Thread]:
    """Return the threads of checkpoints under way."""
    return [thread for thread in threading.enumerate() if thread.name == "opik-eval-checkpoint"]


def test_the_log_stays_short(tmp_path: Path) -> None:
    """However much is written, the log does not grow beyond some megabytes, and all is kept."""
    path = tmp_path / "a.db"
    with closing(FileStorage(path)) as storage:
        write(storage, 0, 20_000)
        for thread in checkpoints():
            thread.join()
        assert path.stat().st_size > 1_000_000, "nothing was moved"
        write(storage, 20_000, 40_000)
        for thread in checkpoints():
            thread.join()
        assert path.with_name("a.db-wal").stat().st_size < 32 << 20
        assert sum(1 for _ in storage.list_traces()) == 60_000


def test_a_closed_file_is_left_alone(tmp_path: Path) -> None:
    """What moves the log has ended when ``close`` returns, and the log is gone."""
    path = tmp_path / "a.db"
    storage = FileStorage(path)
    write(storage, 0, 12_000)
    storage.close()
    assert not path.with_name("a.db-wal").exists()
    for thread in checkpoints():
        thread.join()
    assert [*tmp_path.glob("a.db-*")] == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_the_log_is_moved(tmp_path: Path) -> None:
    """Parent and child both go on writing."""
    path = tmp_path / "a.db"
    with closing(FileStorage(path)) as storage:
        write(storage, 0, 12_000)
        child = os.fork()
        if child == 0:
            write(storage, 100_000, 12_000)
            os._exit(0)
        write(storage, 200_000, 12_000)
        assert os.waitpid(child, 0)[1] == 0
        assert sum(1 for _ in storage.list_traces()) == 36_000


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("disk I/O error"), UnavailableError("closed")]
)
def test_a_failure_is_left_to_the_next_commit(error: Exception) -> None:
    """A log that cannot be moved stays where it is, and the next transactions try again."""
    tries = []

    def borrow(_: object) -> object:
        tries.append(error)
        raise error

    checkpointer = Checkpointer(threading.Lock())
    for _ in range(2):
        checkpointer.note(1_000_000, borrow)
        for thread in checkpoints():
            thread.join()
    assert len(tries) == 2


def test_an_ending_interpreter_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started any more, SQLite does the work at its own limit."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    Checkpointer(threading.Lock()).note(1_000_000, lambda _: pytest.fail("it ran"))
