"""Sessions that do not run to their end, and stores that do not serve."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_runs import outcomes

from opik_eval import config
from opik_eval.errors import UnavailableError
from opik_eval.storage.file import FileStorage

UNITS = """
    import os
    import pytest
    from opik_eval import llm_unit

    @llm_unit()
    @pytest.mark.parametrize("input", range(4))
    def test_units(input):
        if input == 2:
            FAIL
"""


def test_a_session_that_stops_at_a_failure(run, only_result):
    """Its experiment is not complete, and says why."""
    result = run(UNITS.replace("FAIL", "assert False"), "--maxfail", "1")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*3 items, stopped", "Stopped: stopping after 1 failures"])
    found = only_result()
    assert (found.status, found.stop_reason) == ("stopped", "stopping after 1 failures")
    assert list(outcomes(found).values()) == [1.0, 1.0, 0.0]


def test_a_worker_that_dies(run, only_result):
    """What it did is kept; the test that it died of is named, and the experiment not complete."""
    result = run(UNITS.replace("FAIL", "os._exit(3)"), "-n", "1", subprocess=True)
    result.assert_outcomes(passed=3, failed=1)
    test = "test_it.py::test_units[[]2[]]"
    result.stdout.fnmatch_lines([f"NOT RECORDED: {test}: its worker crashed"])
    found = only_result()
    assert found.status == "stopped"
    assert found.stop_reason == "a worker crashed while it ran test_it.py::test_units[2]"
    assert list(outcomes(found).values()) == [1.0] * 3


def test_the_memory_store(run, monkeypatch):
    """What is summed up is what was recorded, since it ends with the session."""
    monkeypatch.setenv("OPIK_EVAL_STORAGE", "memory:")
    config.settings.cache_clear()
    result = run(UNITS.replace("FAIL", "assert False"))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*4 items, completed", "Passed*4*0.750*", "Stored: memory:"])


def test_workers_that_cannot_record(run, monkeypatch):
    """No test runs, and the reason is said where the session ends."""
    monkeypatch.setenv("OPIK_EVAL_STORAGE", "memory:")
    result = run(UNITS.replace("FAIL", "..."), "-n", "1", subprocess=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes()
    result.stdout.fnmatch_lines(["*@llm_unit cannot record tests: each worker of pytest-xdist *"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_server_that_does_not_answer(run, monkeypatch):
    """It is asked before any test runs."""

    def silent(self, name):
        raise UnavailableError("the server is gone", remedy="start it")

    monkeypatch.setattr(FileStorage, "find_dataset", silent)
    result = run(UNITS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*@llm_unit cannot record tests: the server is gone"])


def test_a_report_on_a_folder(run):
    """It is refused before any test runs."""
    result = run("def test_nothing(): ...", "--eval-report", ".")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--eval-report=.: that is a folder; name a file in it"])


def test_a_report_that_fails_at_the_end(run, monkeypatch):
    """The summary is shown all the same, and names the file and the cause."""
    write = Path.write_text

    def full(self, *arguments, **options):
        if self.name == "report.md":
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    result = run("def test_nothing(): ...", "--eval-report", "report.md")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*= evaluation =*",
            "NOT RECORDED: the report report.md could not be written: No space left on device",
        ]
    )
