"""The fixture ``baseline``: written, compared, refused; and the reports on it."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_runs import written

from opik_eval.errors import ConfigError
from opik_eval.experiments import EvaluationResult, compare
from opik_eval.experiments.result import TestCase, TestResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.pytest_plugin.baseline import Baseline, comparable
from opik_eval.records import ErrorInfo

ROUTER = """
    from opik_eval import evaluate
    from opik_eval.metrics import Equals

    ITEMS = [{"question": f"{n} + 5", "reference": str(n + 5)} for n in range(10)]

    def test_router(baseline):
        result = evaluate(ITEMS, lambda item: {"output": answer(item)}, [Equals()], verbose=0)
        baseline.check(result, margin=MARGIN)

    MARGIN = 0.0

    def answer(item):
        return str(sum(map(int, item["question"].split("+"))))
"""
WORSE = """
    right = answer

    def answer(item):
        return "5" if item["question"].startswith(("7", "8")) else right(item)
"""


def test_a_baseline_is_written_and_held(run, pytester):
    """At first there is none, and the test says so; then equal results pass and worse ones fail."""
    first = run(ROUTER)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*there is no baseline *test_router.json yet: run this test with*"])
    update = run(ROUTER, "--update-baselines")
    update.assert_outcomes(passed=1)
    update.stdout.fnmatch_lines(["test_it.py::test_router: baseline written to *"])
    assert written(pytester.path) == ["baselines/test_it/test_router.json"]
    same = run(ROUTER)
    same.assert_outcomes(passed=1)
    same.stdout.fnmatch_lines(
        ["test_it.py::test_router: passed", "  equals_metric: 1.000 -> 1.000, +0.000 *n=10*"]
    )
    worse = run(ROUTER + WORSE)
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(
        [
            "E *equals_metric: -0.2 *is a loss of more than 0 (n=10)",
            "*Got worse: 2, of which 2 went from right to wrong.",
            "*input: *7 + 5",
        ]
    )
    worse.stdout.no_fnmatch_line("*def assert_no_regression*")


def test_margins(run):
    """A loss up to the margin passes, unless it has to be proven that it is no larger."""
    run(ROUTER, "--update-baselines")
    tolerant = ROUTER.replace("MARGIN = 0.0", "MARGIN = 0.2") + WORSE
    run(tolerant).assert_outcomes(passed=1)
    proven = run(tolerant.replace("margin=MARGIN", "margin=MARGIN, proven=True"))
    proven.assert_outcomes(failed=1)
    proven.stdout.fnmatch_lines(["*may be a loss of more than 0.2 (n=10)"])
    run(ROUTER).assert_outcomes(passed=1)


def test_the_file_changes_only_with_the_results(run, pytester):
    """Another run, in another store, writes the same bytes."""
    run(ROUTER, "--update-baselines")
    (name,) = written(pytester.path)
    first = (pytester.path / name).read_bytes()
    (pytester.path / "runs.db").unlink()
    run(ROUTER, "--update-baselines", subprocess=True)
    assert (pytester.path / name).read_bytes() == first
    assert str(pytester.path).encode() not in first


def test_new_and_missing_items(run):
    """New items are compared with nothing, and said; a run that lacks some fails."""
    run(ROUTER, "--update-baselines")
    more = run(ROUTER.replace("range(10)", "range(12)"))
    more.assert_outcomes(passed=1)
    more.stdout.fnmatch_lines(["  Warning: items without partner: 0 in A, 2 in B"])
    fewer = run(ROUTER.replace("range(10)", "range(8)"))
    fewer.assert_outcomes(failed=1)
    fewer.stdout.fnmatch_lines(["*2 items of the baseline are not in this run*"])


def test_tasks_that_fail_now(run):
    """Their items have no scores to be worse; the share of errors counts."""
    run(ROUTER, "--update-baselines")
    failing = """
    right = answer

    def answer(item):
        return right(item) if item["question"] != "7 + 5" else 1 / 0
"""
    result = run(ROUTER + failing)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*task errors: share rose from 0 to 0.1*"])
    run(ROUTER.replace("MARGIN = 0.0", "MARGIN = 0.1") + failing).assert_outcomes(passed=1)


def test_several_checks(run, pytester):
    """They need names of their own; each is a file of its own."""
    twice = ROUTER.replace(
        "baseline.check(result, margin=MARGIN)",
        "baseline.check(result, margin=0, name='a')\n        baseline.check(result, margin=0{0})",
    )
    run(twice.replace("{0}", ", name='a'"), "--update-baselines").stdout.fnmatch_lines(
        ["*two checks of this test share the baseline test_router.a.json*"]
    )
    run(twice.replace("{0}", ""), "--update-baselines").assert_outcomes(passed=1)
    assert written(pytester.path) == [
        "baselines/test_it/test_router.a.json",
        "baselines/test_it/test_router.json",
    ]


def test_an_unfinished_run_is_neither_checked_nor_written(tmp_path):
    """A part of a result would pass where the whole fails."""
    result = result_of({"a": 1.0})
    result.status, result.stop_reason = "stopped", "the budget is spent"
    for updating in (False, True):
        baseline = Baseline(tmp_path, "test_x", updating=updating)
        with pytest.raises(AssertionError, match=r"the run is stopped.*the budget is spent"):
            baseline.check(result, margin=0)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_baseline_is_an_error(tmp_path):
    """It is not taken for an absent one."""
    baseline = Baseline(tmp_path, "test_x", updating=False)
    baseline.path().write_text("{}")
    with pytest.raises(ConfigError, match="is not a saved evaluation result"):
        baseline.check(result_of({"a": 1.0}), margin=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_reports(run, pytester, workers):
    """Markdown for a pull request, properties for JUnit; also from workers of xdist."""
    reports = ("--eval-report", "report.md", "--junitxml", "junit.xml")
    run(ROUTER, "--update-baselines", *reports)
    assert "| test_it.py::test_router |" in (pytester.path / "report.md").read_text()
    assert "| baseline written |" in (pytester.path / "report.md").read_text()
    options = (*reports, "-n", str(workers)) if workers else reports
    run(ROUTER + WORSE, *options, subprocess=bool(workers)).assert_outcomes(failed=1)
    report = (pytester.path / "report.md").read_text()
    assert (
        "| test_it.py::test_router | equals_metric | 1.000 | 0.800 | -0.200 [-0.51, 0.13] | 10 | "
        "insufficient evidence | FAILED |" in report
    )
    assert "<details open><summary>test_it.py::test_router: FAILED</summary>" in report
    assert "Got worse: 2, of which 2 went from right to wrong." in report
    junit = (pytester.path / "junit.xml").read_text()
    assert '<property name="test_router.equals_metric" value="1.000 -&gt; 0.800, -0.200' in junit


def test_an_empty_report_says_so(run, pytester):
    """A report that nothing fills does not look like one that passed."""
    run("def test_nothing(): ...", "--eval-report", "report.md")
    assert "No test of this session checked a baseline" in (pytester.path / "report.md").read_text()


def test_a_report_that_cannot_be_written(run):
    """The session ends with an error that names the file."""
    result = run("def test_nothing(): ...", "--eval-report", "no/such/folder/report.md")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--eval-report*no/such/folder*"])


CONTENTS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.text(max_size=5), min_size=1, max_size=3
)


def result_of(values: dict[str, float | None], *, prefix: str = "", trials: int = 1):
    """Return a result with one metric ``m``, whose items are called ``x``."""
    rows = [
        TestResult(
            TestCase(f"{prefix}t{trial}", f"{prefix}{name}", {"output": name}, {"x": name}),
            [ScoreResult("m", value, reason=prefix, scoring_failed=value is None)],
            trial_id=trial,
            task_execution_time=0.1,
            usage={"total_tokens": 3},
            error=None if value != 0 else ErrorInfo(exception_type="E", traceback=prefix),
        )
        for name, value in values.items()
        for trial in range(trials)
    ]
    return EvaluationResult(f"{prefix}e", f"{prefix}d", f"{prefix}n", rows, trial_count=trials)


@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1),
    st.integers(1, 3),
)
def test_runs_that_differ_in_ids_alone_are_equal(values, trials):
    """Ids, times and tracebacks leave no mark; every item has its partner and no metric differs."""
    first = comparable(result_of(values, trials=trials), "same")
    second = comparable(result_of(values, prefix="other", trials=trials), "same")
    assert first == second
    comparison = compare(first, second)
    assert len(comparison.pairing.pairs) == len(values)
    assert not comparison.worse
    assert not comparison.better
    assert comparison.warnings == ()


def test_a_saved_baseline_is_read_as_it_was(tmp_path):
    """Failed and missing values included."""
    kept = comparable(result_of({"a": 1.0, "b": None, "c": 0.0}, trials=2), "baseline")
    assert EvaluationResult.load(kept.save(tmp_path / "x.json")) == kept


def test_items_of_equal_content_stay_apart():
    """Each copy has an id of its own, by order."""
    result = result_of({"a": 1.0, "b": 0.5})
    for row in result.test_results:
        row.test_case.dataset_item_content = {"x": "same"}
    ids = [row.test_case.dataset_item_id for row in comparable(result, "n").test_results]
    assert ids[1] == f"{ids[0]}-2"


def test_items_without_content_keep_their_ids():
    """Nothing else tells them apart."""
    result = result_of({"a": 1.0, "b": 0.5})
    for row in result.test_results:
        row.test_case.dataset_item_content = {}
    ids = [row.test_case.dataset_item_id for row in comparable(result, "n").test_results]
    assert ids == ["a", "b"]


NAMES = st.text(string.ascii_letters + "_[]/-.: é\n", min_size=1, max_size=200)


@given(st.lists(st.tuples(NAMES, st.none() | NAMES), unique=True, max_size=5), st.data())
def test_every_test_has_a_file_of_its_own(tests, data):
    """Whatever a test is called, its file stays in the folder, and is nobody else's."""
    folder = data.draw(st.sampled_from(["baselines", "a/b"]))
    paths = [Baseline(Path(folder), test, updating=False).path(name) for test, name in tests]
    joined = {test if name is None else f"{test}.{name}" for test, name in tests}
    assert len({str(path).lower() for path in paths}) == len(joined)
    for path in paths:
        assert path.parent == Path(folder)
        assert len(path.name) < 150


def test_checks_in_fixtures_count(run, pytester):
    """Also those of a teardown are summed up and become properties."""
    check = "baseline.check(evaluate(ITEMS, answer, [Equals()], verbose=0), margin=0)"
    code = f"""
        import pytest
        from opik_eval import evaluate
        from opik_eval.metrics import Equals

        ITEMS = [{{"reference": "a"}}]

        def answer(item):
            return {{"output": "a"}}

        @pytest.fixture
        def before(baseline):
            {check}

        @pytest.fixture
        def after(baseline):
            yield
            {check}

        def test_before(before): ...

        def test_after(after): ...
    """
    run(code, "--update-baselines")
    result = run(code, "--junitxml", "junit.xml")
    result.stdout.fnmatch_lines(["*::test_before: passed", "*::test_after: passed"])
    junit = (pytester.path / "junit.xml").read_text()
    for test in ("test_before", "test_after"):
        assert junit.count(f'<property name="{test}.equals_metric"') == 1


@pytest.mark.parametrize("result", [{"equals_metric": 1.0}, None, 3])
@pytest.mark.parametrize("updating", [False, True])
def test_only_results_of_experiments_can_be_checked(tmp_path, result, updating):
    """Anything else is refused by name."""
    with pytest.raises(TypeError, match=f"EvaluationResult, not a {type(result).__name__}"):
        Baseline(tmp_path, "test_x", updating=updating).check(result, margin=0)


@pytest.mark.parametrize("updating", [False, True])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"margin": -1}, "a margin of 0 or more, not -1"),
        ({"margin": float("nan")}, "a margin of 0 or more, not nan"),
        ({"margin": "0.1"}, "a margin of 0 or more, not '0.1'"),
        ({"margin": {"n": 0.1}}, "metric 'm' needs a margin"),
        ({"margin": 0, "metrics": ["n"]}, "neither run has a metric 'n'"),
    ],
)
def test_wrong_checks_are_found_at_once(tmp_path, options, text, updating):
    """They do not wait for the first comparison."""
    result = result_of({"a": 1.0})
    if not updating:
        Baseline(tmp_path, "test_x", updating=True).check(result, margin=0)
    with pytest.raises(ConfigError, match=text):
        Baseline(tmp_path, "test_x", updating=updating).check(result, **options)
    assert updating is not any(tmp_path.iterdir())


def test_what_would_fail_against_itself_becomes_no_baseline(tmp_path):
    """A metric without any value could never pass."""
    with pytest.raises(AssertionError, match="m: no item has a value in both runs"):
        Baseline(tmp_path, "test_x", updating=True).check(result_of({"a": None}), margin=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_none(tmp_path):
    """The error names the file and what is wrong, when writing and when reading."""
    (tmp_path / "baselines").touch()
    for updating, done in ((True, "written"), (False, "read")):
        baseline = Baseline.beside(tmp_path / "test_x.py", "test_x", updating=updating)
        with pytest.raises(ConfigError, match=rf"test_x\.json cannot be {done}: Not a directory"):
            baseline.check(result_of({"a": 1.0}), margin=0)


def test_names_fit_into_file_systems(tmp_path):
    """They take 255 bytes, which letters beyond ASCII use up sooner."""
    for updating in (True, False):
        Baseline(tmp_path, "漢" * 200, updating=updating).check(result_of({"a": 1.0}), margin=0)
    assert len(written(tmp_path)) == 0  # not under a folder called baselines
    (path,) = tmp_path.iterdir()
    assert len(path.name.encode()) < 255
