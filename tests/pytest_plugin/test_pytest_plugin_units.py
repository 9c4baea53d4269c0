"""Tests marked with ``llm_unit``: what they leave in the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from plugin_runs import outcomes

from opik_eval import compare, config, llm_unit
from opik_eval.errors import UnavailableError
from opik_eval.experiments import load_result
from opik_eval.pytest_plugin import recording
from opik_eval.pytest_plugin.recording import Recording
from opik_eval.pytest_plugin.unit import unit_of
from opik_eval.storage.base import FlushReport

SUMS = """
    import pytest
    from opik_eval import llm_unit, opik_context, track

    @track
    def solve(question):
        return str(sum(map(int, question.split("+"))))

    @llm_unit(input_key="question", expected_output_key="answer")
    @pytest.mark.parametrize(("question", "answer"), [("1+1", "2"), ("1+3", "5")])
    def test_sums(question, answer):
        said = solve(question)
        opik_context.update_current_trace(
            output={"answer": said}, feedback_scores=[{"name": "length", "value": len(said)}]
        )
        assert said == answer
"""


def test_units_become_an_experiment(run, store, only_result):
    """Each run is a trace with spans, and an item with its scores, output and reason."""
    run(SUMS).assert_outcomes(passed=1, failed=1)
    result = only_result()
    assert outcomes(result) == {
        "test_it.py::test_sums[1+1-2]": 1.0,
        "test_it.py::test_sums[1+3-5]": 0.0,
    }
    assert result.status == "completed"
    good, bad = result.test_results
    content = dict(good.test_case.dataset_item_content)
    del content["id"]
    assert content == {
        "test": "test_it.py::test_sums[1+1-2]",
        "input": "1+1",
        "expected_output": "2",
    }
    assert bad.test_case.task_output == {"answer": "4"}
    scores = {score.name: score for score in bad.score_results}
    assert scores["length"].value == 1.0
    assert "assert '4' == '5'" in (scores["Passed"].reason or "")
    trace = store.find_trace(bad.test_case.trace_id or "")
    assert trace is not None
    assert trace.error_info is not None
    assert trace.error_info.exception_type == "AssertionError"
    assert [span.name for span in store.list_spans(trace_ids=[trace.id])] == ["solve"]


def test_the_summary_has_statistics(run):
    """What the units came to stands at the end of the session, and says where it is stored."""
    result = run(SUMS, "--eval-experiment", "nightly")
    result.stdout.fnmatch_lines(
        ["nightly: 2 items, completed", "Passed*2*0.500*[[]0.09, 0.91]*", "Stored:*"]
    )


def test_names_of_experiment_and_dataset(run, store):
    """Options name them; otherwise the dataset is ``tests`` and the time names the experiment."""
    run(SUMS, "--eval-experiment", "mine", "--eval-dataset", "sums")
    run(SUMS)
    first, second = store.list_experiments()
    assert (first.name, first.dataset_name) == ("mine", "sums")
    assert second.dataset_name == "tests"
    assert (second.name or "").startswith("Test-Suite-20")


def test_sessions_can_be_compared(run, store):
    """The same tests are the same items in every session, and the dataset grows by none."""
    run(SUMS)
    run(SUMS.replace('"5"', '"4"').replace("answer): ", "answer):"))
    run(SUMS)
    first, changed, again = store.list_experiments()
    same = compare(first.id, again.id, storage=store)
    assert len(same.pairing.pairs) == 2
    assert (same.pairing.only_in_a, same.pairing.by_content, same.pairing.changed) == (0, 0, 0)
    assert compare(first.id, changed.id, storage=store).pairing.only_in_b == 1
    dataset = store.find_dataset("tests")
    assert dataset is not None
    assert [v.items_total for v in store.list_dataset_versions(dataset.id)] in ([2, 3], [3, 2])


def test_other_tests_are_not_recorded(run, store, pytester):
    """Without a unit nothing is stored and nothing heavy is imported."""
    code = """
        import sys

        def test_plain():
            heavy = {"pandas", "pydantic", "litellm", "sqlalchemy", "opik_eval.storage"}
            assert not heavy & sys.modules.keys()
    """
    run(code, subprocess=True).assert_outcomes(passed=1)
    assert list(store.list_experiments()) == []


def test_skipped_and_broken_units(run, only_result):
    """A skip says nothing; a unit whose fixture fails is an item with an error, and no score."""
    run("""
        import pytest
        from opik_eval import llm_unit

        @pytest.fixture
        def model():
            raise ConnectionError("no model")

        @llm_unit()
        def test_broken(model): ...

        @llm_unit()
        def test_skips():
            pytest.skip("not today")

        @llm_unit()
        @pytest.mark.skip
        def test_skipped(): ...

        @llm_unit()
        @pytest.mark.xfail
        def test_known_to_fail():
            raise ValueError("still wrong")

        class TestClass:
            @llm_unit()
            def test_method(self): ...
    """).assert_outcomes(passed=1, skipped=2, errors=1, xfailed=1)
    result = only_result()
    assert outcomes(result) == {
        "test_it.py::test_broken": None,
        "test_it.py::test_known_to_fail": 0.0,
        "test_it.py::TestClass::test_method": 1.0,
    }
    (broken,) = (row for row in result.test_results if row.error is not None)
    assert broken.error is not None
    assert broken.error.exception_type == "ConnectionError"


def test_arguments_of_any_kind(run, only_result):
    """What JSON does not know is recorded as text; arguments that are not there are left out."""
    run("""
        import pytest
        from opik_eval import llm_unit

        class Odd:
            def __repr__(self):
                return "<odd>"

        @llm_unit()
        @pytest.mark.parametrize("input", [Odd()], ids=["odd"])
        @pytest.mark.parametrize("metadata", [{"n": (1, 2)}], ids=["m"])
        def test_odd(input, metadata): ...
    """).assert_outcomes(passed=1)
    (row,) = only_result().test_results
    content = dict(row.test_case.dataset_item_content)
    assert (content["input"], content["metadata"]) == ("<odd>", {"n": [1, 2]})
    assert "expected_output" not in content


def test_interrupted_sessions(run, only_result):
    """Ctrl-C keeps what is done; the experiment says that it was stopped."""
    result = run(
        """
        import pytest
        from opik_eval import llm_unit

        @llm_unit()
        @pytest.mark.parametrize("input", range(5))
        def test_stops(input):
            if input == 2:
                raise KeyboardInterrupt
        """,
        subprocess=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    found = only_result()
    assert found.status == "stopped"
    assert list(outcomes(found).values()) == [1.0, 1.0]


def test_a_killed_session_keeps_what_is_done(store, pytester):
    """Items are stored as their tests end."""
    pytester.makepyfile("""
        import time
        import pytest
        from opik_eval import llm_unit

        @llm_unit()
        @pytest.mark.parametrize("input", range(3))
        def test_one(input):
            if input == 2:
                time.sleep(60)
    """)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while _items(store) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    (experiment,) = store.list_experiments()
    assert experiment.status == "running"
    assert list(outcomes(load_result(store, experiment.id)).values()) == [1.0, 1.0]


def _items(store) -> int:
    return sum(
        len(list(store.list_experiment_items(experiment.id)))
        for experiment in store.list_experiments()
    )


def test_workers_of_xdist_share_one_experiment(run, store, only_result):
    """All units of all workers are in it, and the dataset has one version."""
    result = run(
        """
        import pytest
        from opik_eval import llm_unit

        @llm_unit()
        @pytest.mark.parametrize("input", range(20))
        def test_many(input):
            assert input % 4
        """,
        "-n",
        "2",
        subprocess=True,
    )
    result.assert_outcomes(passed=15, failed=5)
    result.stdout.fnmatch_lines(["*20 items, completed", "Passed*20*0.750*"])
    assert sorted(outcomes(only_result()).values()) == [0.0] * 5 + [1.0] * 15  # type: ignore[type-var]
    dataset = store.find_dataset("tests")
    assert dataset is not None
    assert [v.items_total for v in store.list_dataset_versions(dataset.id)] == [20]


def test_a_store_that_cannot_be_opened_is_found_before_any_test(run, monkeypatch, tmp_path):
    """The session ends as a wrong usage does, and says what to do."""
    monkeypatch.setenv("OPIK_EVAL_STORAGE", "ftp://nowhere")
    config.settings.cache_clear()
    result = run(SUMS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*@llm_unit cannot record tests: *ftp*"])
    result.assert_outcomes()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_store_that_fails_later_is_reported(run, monkeypatch, pytester, workers):
    """Outcomes of tests stay; the summary and the report say what was not recorded."""
    if workers:
        pytester.makeconftest("""
            from opik_eval.errors import UnavailableError
            from opik_eval.pytest_plugin.recording import Recording

            def full(self, item):
                raise UnavailableError("the disk is full", remedy="make room")

            Recording.add = full
        """)
    else:
        monkeypatch.setattr(Recording, "add", _full)
    options = ("-n", str(workers)) if workers else ()
    result = run(SUMS, "--eval-report", "report.md", *options, subprocess=bool(workers))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT RECORDED: *test_sums*the disk is full*"])
    assert "**Not recorded:** test_it.py::test_sums" in (pytester.path / "report.md").read_text()


def _full(self: Recording, item: object) -> None:
    raise UnavailableError("the disk is full", remedy="make room")


def test_an_experiment_that_cannot_be_ended_is_reported(run, only_result, monkeypatch):
    """What the tests stored is there all the same."""

    def full(*arguments, **options):
        raise UnavailableError("the disk is full", remedy="make room")

    monkeypatch.setattr(recording, "conclude", full)
    result = run(SUMS)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT RECORDED: the experiment could not be ended: the disk is*"])
    assert list(outcomes(only_result()).values()) == [1.0, 0.0]


def test_traces_that_cannot_be_stored_are_reported(run, store, monkeypatch):
    """The session waits for them, and says how many did not make it."""
    report, close = FlushReport(pending=3, problem="the server is gone"), recording.Tracer.close
    monkeypatch.setattr(
        recording.Tracer, "close", lambda self, limit: close(self, limit) and report
    )
    result = run(SUMS)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT RECORDED: 3 records wait*the server is gone"])


def test_the_report_has_the_units(run, pytester):
    """With their intervals."""
    run(SUMS, "--eval-report", "report.md", "--eval-experiment", "a|b")
    report = (pytester.path / "report.md").read_text()
    assert "## Units: a\\|b" in report
    assert "| Passed | 2 | 0.500 | [0.09, 0.91] |" in report


def test_without_tracing_tests_run_and_nothing_is_recorded(run, store, monkeypatch):
    """It is said, too."""
    monkeypatch.setenv("OPIK_TRACK_DISABLE", "true")
    config.settings.cache_clear()
    result = run(SUMS.replace("opik_context.update_current_trace", "dict"))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT RECORDED: tracing is switched off*"])
    assert list(store.list_experiments()) == []


def test_collecting_records_nothing(run, store):
    """``--collect-only`` opens no experiment."""
    run(SUMS, "--collect-only")
    assert list(store.list_experiments()) == []


def test_parentheses_are_needed():
    """``@llm_unit`` without them is refused with the remedy."""
    with pytest.raises(TypeError, match=r"write @llm_unit\(\) with parentheses"):
        llm_unit(lambda: None)  # type: ignore[arg-type]
    assert unit_of(lambda: None) is None
    assert unit_of(None) is None
