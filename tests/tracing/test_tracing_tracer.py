"""The process's tracer: configuration, the end of the process, forks and workers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from opik_eval.errors import UnavailableError
from opik_eval.records import Trace
from opik_eval.storage.base import FlushReport
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.opening import open_storage
from opik_eval.tracing import configure_tracing, flush_tracker, set_tracing_active
from opik_eval.tracing import tracer as tracer_module
from opik_eval.tracing.sink import Upload
from opik_eval.tracing.tracer import Tracer, is_tracing_active, process_tracer

ROOT = Path(__file__).parents[2]


def _run(tmp_path: Path, code: str, *, status: int = 0) -> str:
    """Run a program that traces to ``traces.db`` and return its stderr."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(code))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    environ["OPIK_EVAL_STORAGE"] = f"file:{tmp_path / 'traces.db'}"
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def _names(tmp_path: Path) -> list[str]:
    storage = open_storage(f"file:{tmp_path / 'traces.db'}")
    names = sorted(str(span.name) for span in storage.list_spans())
    storage.close()
    return names


def test_importing_the_package_starts_nothing():
    """Without a trace there is no writer, and flushing is complete at once."""
    code = (
        "import threading, sys, opik_eval.tracing as t; t.track; t.flush_tracker();"
        "assert threading.active_count() == 1;"
        "heavy = {'litellm', 'pandas', 'sqlite3', 'aiohttp'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_what_is_traced_is_stored_when_the_program_ends(tmp_path):
    """A program that never flushes loses nothing, even one that dies of an exception."""
    stderr = _run(
        tmp_path,
        """
        from opik_eval.tracing import track
        @track
        def work(n):
            if n == 99:
                raise SystemExit(3)
        for n in range(100):
            work(n)
        """,
        status=3,
    )
    assert _names(tmp_path) == ["work"] * 100
    assert stderr == ""


def test_losses_at_the_end_are_loud(tmp_path):
    """A store that cannot be opened costs the program nothing but an error on stderr."""
    (tmp_path / "traces.db").mkdir()
    stderr = _run(
        tmp_path,
        """
        from opik_eval.tracing import track
        @track
        def work():
            return 1
        assert work() == 1
        """,
    )
    assert "2 trace records were lost" in stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_store_their_own_spans(tmp_path, method):
    """Parent and children each store what they traced, once, though children skip atexit."""
    _run(
        tmp_path,
        f"""
        import multiprocessing
        from opik_eval.tracing import track
        @track
        def parent(n):
            return n
        @track
        def child(n):
            return n
        if __name__ == "__main__":
            parent(0)
            context = multiprocessing.get_context({method!r})
            processes = [context.Process(target=child, args=(n,)) for n in range(2)]
            for process in processes: process.start()
            for process in processes: process.join()
            parent(1)
        """,
    )
    assert _names(tmp_path) == ["child", "child", "parent", "parent"]


def test_bare_fork_starts_with_an_empty_queue(tmp_path):
    """What is pending at a fork is written by the parent alone."""
    _run(
        tmp_path,
        """
        import os
        from opik_eval.tracing import flush_tracker, track
        @track
        def before(): pass
        @track
        def after(): pass
        before()
        pid = os.fork()
        after()
        if pid == 0:
            assert flush_tracker().delivered == 2
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert _names(tmp_path) == ["after", "after", "before"]


def test_configure_tracing_chooses_store_project_and_environment(monkeypatch):
    """From then on traces go to that store; ``flush_tracker`` speaks of it."""
    monkeypatch.setattr(tracer_module._process, "tracer", None)
    assert flush_tracker() == FlushReport()
    storage = MemoryStorage()
    tracer = configure_tracing(storage, project_name="p", environment="e")
    assert process_tracer() is tracer
    tracer.emit(Trace(id="1", name="t", project_name=tracer.project_name))
    assert flush_tracker() == FlushReport(delivered=1)
    assert storage.find_project("p") is not None
    assert tracer.environment == "e"
    assert tracer.close().complete


def test_tracer_is_made_from_the_settings_on_first_use(monkeypatch):
    """Without configuration the settings name project and store."""
    monkeypatch.setattr(tracer_module._process, "tracer", None)
    assert process_tracer() is process_tracer()
    assert process_tracer().project_name == tracer_module.settings().project_name


def test_store_is_opened_when_something_is_written(tmp_path):
    """A target is not touched before the first record; it is closed with the tracer."""
    path = tmp_path / "traces.db"
    tracer = Tracer(f"file:{path}")
    assert tracer.close() == FlushReport()
    assert not path.exists()
    tracer.emit(Trace(id="0190c7e0-0000-7000-8000-000000000001", name="t"))
    assert tracer.flush().delivered == 1
    tracer.close()
    tracer.emit(Trace(id="0190c7e0-0000-7000-8000-000000000002", name="again"))
    assert tracer.close().delivered == 1
    storage = open_storage(f"file:{path}")
    assert len(list(storage.list_traces())) == 2
    storage.close()


def test_files_and_flush_go_through_to_the_store_behind_a_target(tmp_path):
    """A store opened by the tracer takes files as well, and is flushed with it."""
    tracer = Tracer(f"file:{tmp_path / 'traces.db'}")
    tracer.emit(
        Upload(
            id="0190c7e0-0000-7000-8000-000000000001",
            entity_type="trace",
            entity_id="0190c7e0-0000-7000-8000-000000000002",
            file_name="f",
            mime_type="text/plain",
            content=b"bytes",
        )
    )
    assert tracer.flush() == FlushReport(delivered=1)
    tracer.close()


def test_after_a_fork_the_queue_is_empty_and_the_store_is_opened_anew(tmp_path):
    """What a fork leaves in a child forgets the parent's records and handles."""
    tracer = Tracer(f"file:{tmp_path / 'traces.db'}")
    tracer.emit(Trace(id="0190c7e0-0000-7000-8000-000000000001", name="t"))
    parents = tracer._writer
    process = tracer_module._Process()
    process.started.append(tracer)
    process.begin_anew()
    assert tracer.flush() == FlushReport()
    assert process.started == []
    tracer.emit(Trace(id="0190c7e0-0000-7000-8000-000000000002", name="t"))
    assert tracer.close() == FlushReport(delivered=1)
    assert parents.close().delivered == 1


def test_all_started_tracers_are_closed_together():
    """At the end of the process every tracer is closed, whoever made it."""
    process = tracer_module._Process()
    storage = MemoryStorage()
    tracer = Tracer(storage)
    tracer.emit(Trace(id="1", name="t"))
    process.started.append(tracer)
    process.close_all()
    assert storage.find_trace("1") is not None


def test_losses_and_delays_are_told_apart():
    """The message at the end says what is lost, why, and what is only late."""
    report = FlushReport(pending=2, rejected=("b", "a", "a"))
    assert tracer_module._loss(report) == (
        "3 trace records were lost (a; b). 2 trace records were not delivered yet."
    )
    assert tracer_module._loss(FlushReport(pending=1)) == "1 trace records were not delivered yet."


def test_close_reports_losses(caplog):
    """Closing a tracer whose store is unavailable logs how much was lost and why."""

    class Away(MemoryStorage):
        def write(self, records: object) -> None:
            raise UnavailableError("disk full")

    tracer = Tracer(Away())
    tracer.emit(Trace(id="1", name="t"))
    with caplog.at_level(logging.ERROR):
        report = tracer.close(timeout_seconds=0.01)
    assert report.rejected == ("UnavailableError: disk full",)
    assert "1 trace records were lost (UnavailableError: disk full)" in caplog.text


def test_switch_follows_settings_until_it_is_set():
    """Tracing is on by default; the switch wins; a reset returns to the settings."""
    try:
        set_tracing_active(False)
        assert not is_tracing_active()
        set_tracing_active(True)
        assert is_tracing_active()
    finally:
        tracer_module.reset_tracing_to_config_default()
    assert is_tracing_active() is not tracer_module.settings().track_disable
