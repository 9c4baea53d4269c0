"""Comparisons: pairing, verdicts, changes, gates."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.experiments import compare
from opik_eval.statistics import compare_paired, holm
from opik_eval.storage.memory import MemoryStorage


def test_metrics_are_compared_item_by_item(run):
    """The row of a metric is the paired comparison of the items' values."""
    a, b = [0.0, 0.2, 0.4, 0.1, 0.3, 0.2], [0.5, 0.4, 0.9, 0.1, 0.2, 0.8]
    comparison = compare(run("a", {"m": a}), run("b", {"m": b}))
    row = comparison.metrics["m"]
    assert row.paired == compare_paired(a, b)
    assert row.p_adjusted == row.paired.p_value
    assert comparison.missing == {}
    assert comparison.warnings == ()


def test_trials_are_averaged_before_pairing(run):
    """Two trials against three are compared by the items' means."""
    two = run("a", {"m": [0.0, 1.0, 1.0, 1.0]}, trials=2)
    three = run("b", {"m": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]}, trials=3)
    assert compare(two, three).metrics["m"].paired == compare_paired([0.5, 1.0], [1.0, 0.0])


def test_p_values_are_adjusted_over_the_metrics_that_can_differ(run):
    """Holm counts the metrics; one that never differs costs nothing."""
    up, down = [0.0] * 8 + [1.0] * 4, [1.0] * 8 + [1.0] * 3 + [0.0]
    same = [1.0] * 12
    a = run("a", {"x": up, "y": [0.0] * 12, "z": same})
    b = run("b", {"x": down, "y": [0.0] * 5 + [1.0] * 7, "z": same})
    rows = compare(a, b).metrics
    expected = holm([rows["x"].paired.p_value, rows["y"].paired.p_value])
    assert [rows["x"].p_adjusted, rows["y"].p_adjusted] == expected
    assert rows["z"].p_adjusted == 1.0
    only = compare(a, b, metrics=["y"])
    assert list(only.metrics) == ["y"]
    assert only.metrics["y"].p_adjusted == rows["y"].paired.p_value


def test_direction_decides_what_is_better(run):
    """A fall of a metric where lower is better is an improvement."""
    directions = {"seconds": False, "words": None}
    high, low = (
        {"seconds": [9.0] * 8, "words": [9.0] * 8},
        {"seconds": [2.0] * 8, "words": [3.0] * 8},
    )
    comparison = compare(run("a", high, higher_is_better=directions), run("b", low))
    assert comparison.metrics["seconds"].verdict == "better"
    assert comparison.metrics["words"].verdict == "different"
    assert {change.metric for change in comparison.better} == {"seconds"}


def test_items_without_common_ids_are_paired_by_content(run):
    """The same questions under other ids are found; ambiguous content stays unpaired."""
    a = run("a", {"m": [0.0, 0.0, 0.0, 0.0]})
    b = run("b", {"m": [1.0, 1.0, 1.0]}, prefix="other-")
    b.test_results[1].test_case.dataset_item_content = {"id": "other-1", "input": "new"}
    for result in a.test_results[2:]:
        result.test_case.dataset_item_content = {"input": "twice"}
    b.test_results[2].test_case.dataset_item_content = {"input": "twice"}
    comparison = compare(a, b)
    pairs = [(x.item_id, y.item_id) for x, y in comparison.pairing.pairs]
    assert pairs == [("item-0", "other-0")]
    assert (comparison.pairing.only_in_a, comparison.pairing.only_in_b) == (3, 2)
    assert len(comparison.warnings) == 2


def test_limits_of_the_comparison_are_stated(run):
    """Unfinished runs, edited items and lacking partners are warnings."""
    a = run("a", {"m": [0.0, 1.0, 1.0]})
    b = run("b", {"m": [0.0, 1.0]}, status="stopped", stop_reason="budget")
    b.test_results[0].test_case.dataset_item_content = {"input": "edited"}
    assert compare(a, b).warnings == (
        "B is stopped: budget",
        "1 items have the same id but different content",
        "items without partner: 1 in A, 0 in B",
    )
    c = run("c", {"m": [0.0]}, prefix="z")
    c.test_results[0].test_case.dataset_item_content = {"input": "foreign"}
    assert "the runs have no item in common" in compare(a, c).warnings


def test_errors_and_missing_values_are_compared_too(run):
    """What has no value leaves the pairs, and shows in rows of its own."""
    values = [1.0] * 20
    a = run("a", {"m": values})
    b = run("b", {"m": ["boom", *values[1:]]}, errors=range(10, 18))
    comparison = compare(a, b)
    assert comparison.metrics["m"].paired.n == 11
    assert comparison.metrics["m"].incomplete == 9
    assert comparison.missing["task errors"].paired.mean_b == 0.4
    assert comparison.missing["task errors"].verdict == "worse"
    assert comparison.missing["m: no value"].paired.losses == 1


def test_what_got_worse_comes_in_order_of_weight(run):
    """New errors first, then flips from right to wrong, then the largest drops."""
    a = run("a", {"m": [1.0, 0.4, 0.9, 1.0, 0.0], "n": [5.0, 9.0, 1.0, 1.0, 1.0]})
    b = run("b", {"m": [0.3, 0.1, 0.8, 1.0, 1.0], "n": [5.0, 1.0, 1.0, 1.0, 1.0]}, errors=[3])
    comparison = compare(a, b)
    found = [(change.metric, change.dataset_item_id) for change in comparison.worse]
    assert found == [
        ("task errors", "item-3"),
        ("m", "item-0"),
        ("n", "item-1"),
        ("m", "item-1"),
        ("m", "item-2"),
    ]
    flips = [(change.metric, change.dataset_item_id) for change in comparison.newly_failing]
    assert flips == found[:2]
    assert [change.dataset_item_id for change in comparison.newly_passing] == ["item-4"]


def test_a_metric_of_one_run_only_has_no_pairs(run):
    """It is listed, without evidence, rather than left out."""
    row = compare(run("a", {"x": [1.0]}), run("b", {"y": [1.0]})).metrics["x"]
    assert (row.paired.n, row.verdict, row.incomplete) == (0, "insufficient evidence", 1)
    assert math.isnan(row.paired.difference)


def test_unknown_metrics_and_missing_storage_are_refused(run):
    """A typo names what there is; an id needs a store."""
    a = run("a", {"m": [1.0]})
    with pytest.raises(ConfigError, match="neither run has a metric 'n'"):
        compare(a, a, metrics=["n"])
    with pytest.raises(ConfigError, match="no storage"):
        compare(a, "b")
    with pytest.raises(NotFoundError):
        compare(a, "b", storage=MemoryStorage())


def test_gate_passes_what_is_shown_to_be_no_worse(run):
    """An equal run passes within a margin that its size can support."""
    a = run("a", {"m": [0.0, 1.0] * 100})
    comparison = compare(a, run("b", {"m": [0.0, 1.0] * 100}))
    comparison.assert_no_regression(margin=0.05)
    comparison.assert_no_regression(margin={"m": 0.05}, metrics=["m"])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0] * 40, [0.0] * 10 + [1.0] * 30, r"m: -0\.25"),
        ([1.0] * 5, [1.0] * 5, r"may be a loss of more than 0\.05 \(n=5\)"),
        ([None] * 5, [1.0] * 5, "no item has a value in both runs"),
    ],
    ids=["regression", "too few items", "no values"],
)
def test_gate_fails_with_reason_and_table(run, a, b, message):
    """Regressions fail, and so does too little evidence; the text shows the table."""
    with pytest.raises(AssertionError, match=message) as caught:
        compare(run("a", {"m": a}), run("b", {"m": b})).assert_no_regression(margin=0.05)
    assert "verdict" in str(caught.value)


def test_gate_fails_on_more_errors_and_on_nothing(run):
    """Scores of the surviving items do not excuse task errors; no metric is no evidence."""
    a, b = run("a", {"m": [0.5] * 30}), run("b", {"m": [0.5] * 30}, errors=range(9))
    with pytest.raises(AssertionError, match=r"task errors: share rose from 0 to 0\.3"):
        compare(a, b).assert_no_regression(margin=0.05)
    with pytest.raises(AssertionError, match="no metric"):
        compare(
            run("a", {"m": [1.0]}, errors=[0]), run("b", {"m": [1.0]}, errors=[0])
        ).assert_no_regression(margin=0.1)


def test_gate_minds_the_direction(run):
    """Where lower is better a rise is the loss."""
    a = run("a", {"s": [1.0, 2.0] * 10}, higher_is_better={"s": False, "w": None})
    b = run("b", {"s": [2.0, 3.1] * 10})
    compare(b, a).assert_no_regression(margin=0.5)
    with pytest.raises(AssertionError, match="s: "):
        compare(a, b).assert_no_regression(margin=0.5)


@pytest.mark.parametrize(
    "arguments",
    [{"margin": -0.1}, {"margin": math.nan}, {"margin": {}}, {"margin": 0.1, "metrics": ["w"]}],
)
def test_gate_refuses_what_makes_no_sense(run, arguments):
    """Margins are 0 or more for every metric; a metric needs a direction."""
    a = run("a", {"m": [1.0] * 8, "w": [1.0] * 8}, higher_is_better={"w": None})
    with pytest.raises(ConfigError):
        compare(a, a).assert_no_regression(**arguments)


@pytest.mark.parametrize(
    ("b", "margin", "passes"),
    [
        ([1.0, 1.0, 1.0, 1.0], 0.0, True),
        ([1.0, 1.0, 1.0, 0.9], 0.0, False),
        ([1.0, 1.0, 1.0, 0.9], 0.025, True),
        ([1.0, 1.0, 1.0, 0.9], {"m": 0.025}, True),
        ([1.0, 1.0, 1.0, 0.89], 0.025, False),
        ([1.0, 1.0, 1.0, None], 0.0, False),
        ([1.0, 1.0, 1.0, None], 0.25, True),
        ([1.0, 1.0, 1.0, None], {"m": 0.25}, False),
        ([1.0, 1.0, 1.0, None], {"m": 0.0, "m: no value": 0.25}, True),
    ],
)
def test_a_loss_on_these_very_items(
    run, b: list[float | None], margin: float | dict[str, float], passes: bool
):
    """Unless it has to be proven, the difference counts, and the share of missing values."""
    comparison = compare(run("a", {"m": [1.0] * 4}), run("b", {"m": b}))
    if passes:
        comparison.assert_no_regression(margin=margin, proven=False)
    else:
        with pytest.raises(AssertionError, match=r"is a loss of more than|share rose"):
            comparison.assert_no_regression(margin=margin, proven=False)
    with pytest.raises(AssertionError):  # four items prove nothing
        comparison.assert_no_regression(margin=0.025)


def test_comparison_exports_to_json_and_table(run):
    """to_dict is strict JSON, to_pandas has a row per metric."""
    a = run("a", {"m": [1.0, 0.0], "n": [None, None]})
    comparison = compare(a, run("b", {"m": [0.0, 0.0], "n": [None, None]}))
    exported = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert exported["metrics"][0]["difference"] == -0.5
    assert exported["metrics"][1]["difference"] is None
    assert exported["worse"][0]["dataset_item_id"] == "item-0"
    table = comparison.to_pandas()
    assert table["metric"].tolist() == ["m", "n", "n: no value"]
    assert table["verdict"].tolist()[0] == "insufficient evidence"


OUTCOMES = st.sampled_from([0.0, 0.5, 1.0, None])


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(OUTCOMES, OUTCOMES), min_size=1, max_size=12))
def test_swapped_runs_give_the_mirrored_comparison(run, pairs):
    """Whatever got worse from A to B gets better from B to A, with the same p."""
    a, b = run("a", {"m": [x for x, _ in pairs]}), run("b", {"m": [y for _, y in pairs]})
    there, back = compare(a, b), compare(b, a)
    assert there.metrics["m"].p_adjusted == back.metrics["m"].p_adjusted
    assert [(c.dataset_item_id, c.before, c.after) for c in there.worse] == [
        (c.dataset_item_id, c.after, c.before) for c in back.better
    ]
