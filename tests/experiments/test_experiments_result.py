"""Results: counting, grouping, files, tables."""

import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import ConfigError, NotFoundError, SchemaVersionError
from opik_eval.experiments import (
    EvaluationResult,
    EvaluationResultOnDictItems,
    TestCase,
    TestResult,
    run_totals,
)
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import DatasetItem, ErrorInfo
from opik_eval.statistics import mean_interval
from opik_eval.storage.base import FlushReport

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
VALUE = st.none() | st.floats(allow_nan=False)
SCORES = st.builds(
    ScoreResult,
    name=TEXT,
    value=VALUE,
    reason=st.none() | TEXT,
    category_name=st.none() | TEXT,
    metadata=st.none() | OBJECT,
    scoring_failed=st.booleans(),
)
CASES = st.builds(
    TestCase,
    trace_id=st.none() | TEXT,
    dataset_item_id=TEXT,
    task_output=st.none() | OBJECT,
    dataset_item_content=OBJECT,
    mapped_scoring_inputs=st.none() | OBJECT,
    dataset_item=st.none()
    | st.builds(DatasetItem, id=TEXT, data=OBJECT, description=st.none() | TEXT),
)
SECONDS = st.none() | st.floats(0, 1e6)
RESULTS = st.builds(
    TestResult,
    test_case=CASES,
    score_results=st.lists(SCORES, max_size=3),
    trial_id=st.integers(0, 9),
    task_execution_time=SECONDS,
    scoring_time=SECONDS,
    error=st.none() | st.builds(ErrorInfo, exception_type=TEXT, message=TEXT, traceback=TEXT),
    usage=st.none() | st.dictionaries(TEXT, st.integers(0, 9), max_size=2),
    cost_usd=SECONDS,
    unpriced_calls=st.integers(0, 3),
)
RUNS = st.builds(
    EvaluationResult,
    experiment_id=TEXT,
    dataset_id=st.none() | TEXT,
    experiment_name=st.none() | TEXT,
    test_results=st.lists(RESULTS, max_size=3),
    experiment_url=st.none() | TEXT,
    trial_count=st.integers(1, 5),
    experiment_scores=st.lists(SCORES, max_size=2),
    status=TEXT,
    stop_reason=st.none() | TEXT,
    total_seconds=SECONDS,
    flush=st.none()
    | st.builds(
        FlushReport,
        delivered=st.integers(0, 9),
        pending=st.integers(0, 9),
        rejected=st.lists(TEXT, max_size=2).map(tuple),
    ),
    storage_location=st.none() | TEXT,
    warnings=st.lists(TEXT, max_size=2),
    reused_items=st.integers(0, 9),
    higher_is_better=st.dictionaries(TEXT, st.none() | st.booleans(), max_size=2),
)


def test_values_failures_unscored_and_errors_are_counted_apart(run):
    """A failure is never a 0: four kinds of outcome, four counts."""
    values = [1.0, 0.0, 1.0, "no key", None, math.nan, math.inf, 1.0]
    result = run("r", {"m": values}, errors=[7])
    scores = result.aggregate_evaluation_scores().aggregated_scores["m"]
    assert (scores.n, scores.failed_count, scores.unscored_count) == (3, 1, 3)
    assert result.task_errors == 1
    assert scores.mean == pytest.approx(2 / 3)
    assert scores.values == [1.0, 0.0, 1.0]
    assert (scores.min, scores.max) == (0.0, 1.0)


def test_a_metric_that_only_fails_stays_visible(run):
    """It has no mean, and says how often it failed."""
    scores = run("r", {"m": ["boom", "boom"]}).aggregate_evaluation_scores().aggregated_scores["m"]
    assert scores.failed_count == 2
    assert math.isnan(scores.mean)
    assert (
        scores.std is scores.standard_error is scores.interval_low is scores.interval_high is None
    )


def test_every_mean_comes_with_its_interval(run):
    """Standard error and interval are those of the statistics package."""
    values = [0.2, 0.9, 0.4, 0.4]
    result = run("r", {"m": values}, higher_is_better={"m": False})
    scores = result.aggregate_evaluation_scores().aggregated_scores["m"]
    expected = mean_interval(values)
    assert (scores.interval_low, scores.interval_high) == (expected.low, expected.high)
    assert scores.standard_error == expected.standard_error == pytest.approx(scores.std / 2)
    assert scores.higher_is_better is False


def test_trials_of_an_item_count_as_one_cluster(run):
    """More trials of the same items do not feign more items."""
    result = run("r", {"m": [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]}, trials=2)
    scores = result.aggregate_evaluation_scores().aggregated_scores["m"]
    assert (scores.n, scores.method) == (6, "clustered wilson")


def test_reducers_make_one_value_of_an_items_trials(run):
    """pass@2 of three trials; an item with too few scored trials becomes unscored."""
    result = run("r", {"m": [1.0, 0.0, 0.0, 1.0, "x", "x"]}, trials=3)
    scores = result.aggregate_evaluation_scores(reducer="pass@2").aggregated_scores["m"]
    assert scores.values == [pytest.approx(2 / 3)]
    assert (scores.unscored_count, scores.failed_count) == (1, 2)
    largest = result.aggregate_evaluation_scores(reducer=max).aggregated_scores["m"]
    assert largest.values == [1.0, 1.0]


def test_a_reducer_that_no_item_can_feed_is_refused(run):
    """pass@5 of two trials is a mistake, not an empty column."""
    with pytest.raises(ConfigError, match="k=5 does not fit 2 trials"):
        run("r", {"m": [1.0, 0.0]}, trials=2).aggregate_evaluation_scores(reducer="pass@5")


def test_results_group_by_item_with_trials_in_order(run):
    """Items keep the dataset's order; trials are sorted by number."""
    result = run("r", {"m": [0.0, 1.0, 1.0, 1.0]}, trials=2)
    result.test_results.reverse()
    items = result.group_by_dataset_item_view().dataset_items
    assert list(items) == ["item-1", "item-0"]
    assert [trial.trial_id for trial in items["item-0"].test_results] == [0, 1]
    assert items["item-0"].scores["m"].mean == 0.5


def test_views_have_the_names_of_the_field():
    """The views repeat id, names, link and trials of the result."""
    result = EvaluationResult("e", "d", "n", [], "http://x", 3)
    for view in (result.aggregate_evaluation_scores(), result.group_by_dataset_item_view()):
        named = (view.experiment_id, view.dataset_id, view.experiment_name)
        assert named == ("e", "d", "n")
        assert (view.experiment_url, view.trial_count) == ("http://x", 3)


def test_results_on_plain_items_aggregate_alike(run):
    """Without experiment the aggregate is the mapping itself."""
    result = run("r", {"m": [1.0, 0.0]})
    plain = EvaluationResultOnDictItems(result.test_results)
    expected = result.aggregate_evaluation_scores().aggregated_scores
    assert plain.aggregate_evaluation_scores() == expected


@settings(deadline=None, max_examples=60)
@given(RUNS)
def test_saved_results_load_unchanged(tmp_path_factory, result):
    """What is saved comes back, whatever is in it."""
    path = tmp_path_factory.getbasetemp() / "result.json"
    assert EvaluationResult.load(result.save(path)) == result


def test_nan_survives_a_file(run, tmp_path):
    """An unscored NaN is still NaN after a round trip, and the file is strict JSON."""
    path = run("r", {"m": [math.nan, math.inf]}).save(tmp_path / "r.json")
    loaded = EvaluationResult.load(path).test_results
    assert math.isnan(loaded[0].score_results[0].value)
    assert loaded[1].score_results[0].value == math.inf
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["schema_version"] == 1


def test_saving_replaces_the_file_as_a_whole(run, tmp_path):
    """A failing write leaves the old file alone, and nothing beside it."""
    path = run("old", {"m": [1.0]}).save(tmp_path / "r.json")
    broken = run("new", {"m": [1.0]})
    broken.test_results.append("no result")
    with pytest.raises(TypeError):
        broken.save(path)
    assert EvaluationResult.load(path).experiment_name == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("not json", ConfigError),
        ("[]", ConfigError),
        ('{"schema": "other"}', ConfigError),
        ('{"schema": "opik_eval.evaluation_result", "schema_version": 2}', SchemaVersionError),
        ('{"schema": "opik_eval.evaluation_result"}', SchemaVersionError),
        (
            '{"schema": "opik_eval.evaluation_result", "schema_version": 1, "test_results": [{}]}',
            ConfigError,
        ),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, text, error):
    """Other files, newer versions and damage each raise a clear error."""
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(error, match=r"r\.json"):
        EvaluationResult.load(path)


def test_missing_file_is_not_found(tmp_path):
    """A wrong path says so."""
    with pytest.raises(NotFoundError):
        EvaluationResult.load(tmp_path / "absent.json")


def test_table_has_a_row_per_result(run):
    """Scores that are no values are NaN in the table; errors are named."""
    table = run("r", {"m": [1.0, "boom", 0.0]}, errors=[2]).to_pandas()
    assert table["score.m"].isna().tolist() == [False, True, True]
    assert table["failed.m"].tolist()[:2] == [False, True]
    assert table["error"].tolist()[2] == "TimeoutError: no reply"
    assert table["item.input"].tolist() == ["question 0", "question 1", "question 2"]
    assert table["output.output"].tolist()[0] == "r answer 0"


def test_totals_keep_unknown_apart_from_zero(run):
    """Unknown tokens and cost are None; what is known is summed."""
    results = run("r", {"m": [1.0, 1.0, 1.0, 1.0]}, trials=2, errors=[0]).test_results
    assert run_totals(results).total_tokens is None
    assert run_totals(results).cost_usd is None
    results[0].usage, results[0].cost_usd = {"total_tokens": 7}, 0.25
    results[1].usage, results[1].unpriced_calls = {"prompt_tokens": 2, "completion_tokens": 3}, 2
    results[2].usage = {"cached_tokens": 5}
    totals = run_totals(results)
    assert (totals.items, totals.results, totals.task_errors) == (2, 4, 1)
    assert (totals.total_tokens, totals.cost_usd, totals.unpriced_calls) == (12, 0.25, 2)
    assert totals.mean_task_seconds == 0.5
    assert run_totals([]).mean_task_seconds is None


def test_repr_is_short_and_results_cross_processes(run):
    """A result prints as one line and can be pickled."""
    result = run("r", {"m": [1.0, 0.0]})
    assert repr(result) == "EvaluationResult('r', results=2, task_errors=0, m=0.5)"
    assert pickle.loads(pickle.dumps(result)) == result


def test_large_results_aggregate_in_linear_time(run):
    """However many results there are, each is looked up among the others a few times at most."""
    comparisons = 0

    class Id(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal comparisons
            comparisons += 1
            return str.__eq__(self, other)

    count = 4_000
    result = run("r", {"m": [0.0, 1.0] * (count // 2)}, trials=2)
    for one in result.test_results:
        one.test_case.dataset_item_id = Id(one.test_case.dataset_item_id)
    result.aggregate_evaluation_scores(reducer="mean")
    assert len(result.group_by_dataset_item_view().dataset_items) == count // 2
    assert 0 < comparisons <= 4 * len(result.test_results)
