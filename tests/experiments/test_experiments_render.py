"""How results and comparisons look."""

import pytest

from opik_eval.experiments import (
    compare,
    comparison_html,
    comparison_text,
    result_html,
    result_text,
)
from opik_eval.experiments.table import interval, number, shorten, wrap
from opik_eval.metrics.base import ScoreResult
from opik_eval.storage.base import FlushReport


@pytest.fixture
def pair(run):
    """Return a baseline and a candidate with flips, errors, failures and odd names."""
    metrics = {"exact_match": [0.0, 1.0] * 10, "a_metric_with_a_very_long_name": [0.25, 0.5] * 10}
    other = {
        "exact_match": [1.0] * 18 + [0.0, "boom"],
        "a_metric_with_a_very_long_name": [0.5, 0.25] * 10,
    }
    a = run("baseline", metrics, total_seconds=1.5)
    b = run("candidate [bold]", other, errors=[4], warnings=["w"], total_seconds=2.0)
    b.test_results[0].cost_usd, b.test_results[0].usage = 0.5, {"total_tokens": 1234}
    b.test_results[1].unpriced_calls = 1
    b.test_results[19].test_case.dataset_item_content = {"input": "x\x1b[31m\ny " + "ü" * 500}
    return a, b


def test_result_shows_every_mean_with_n_and_interval(run):
    """One row per metric: n, mean, standard error, interval, failed, unscored."""
    result = run("r", {"m": [1.0, 0.0, "boom", None, 1.0]}, errors=[4])
    row = next(line for line in result_text(result).splitlines() if line.startswith("m "))
    assert row.split() == ["m", "2", "0.500", "0.500", "[0.09,", "0.91]", "1", "1"]
    assert "Task errors: 1 of 5." in result_text(result)


def test_result_says_what_limits_it(run):
    """Stop, undelivered writes, warnings, directions and experiment scores are all told."""
    result = run(
        "r",
        {"m": [1.0, 1.0]},
        trials=2,
        status="stopped",
        stop_reason="budget reached",
        warnings=["odd"],
        reused_items=1,
        higher_is_better={"m": False},
        flush=FlushReport(pending=3, rejected=("no",)),
        storage_location="file:x.db",
        experiment_scores=[
            ScoreResult("f1", 0.5),
            ScoreResult("g", None, "bad", scoring_failed=True),
        ],
    )
    text = result_text(result)
    for part in (
        "r: 1 items x 2 trials, stopped",
        "Stopped: budget reached",
        "Warning: odd",
        "Reused from the interrupted run: 1 results",
        "Lower is better: m",
        "3 records wait on disk, 1 were rejected",
        "f1 of the experiment: 0.500",
        "g of the experiment: failed (bad)",
        "Stored: file:x.db",
    ):
        assert part in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_keeps_to_its_width(pair, width, ascii_only):
    """No line is longer than asked for, and ASCII means ASCII."""
    a, b = pair
    texts = [
        comparison_text(compare(a, b), width=width, ascii_only=ascii_only, max_items=20),
        result_text(b, width=width, ascii_only=ascii_only),
    ]
    for text in texts:
        assert max(map(len, text.splitlines())) <= width
        assert text.isascii() or not ascii_only
        assert "\x1b" not in text


def test_comparison_reads_as_words(pair):
    """Table, verdict, facts of both sides, and the items that changed, worse first."""
    a, b = pair
    text = comparison_text(compare(a, b))
    assert "A: baseline (20 items, 0.5 s per task, 1.5 s in all)" in text
    assert "B: candidate [bold] (20 items, 1,234 tokens, $0.5+, 0.5 s per task, 2 s in all)" in text
    assert "better" in text
    assert "p is adjusted for 2 metrics (Holm)." in text
    assert text.index("Got worse") < text.index("Got better")
    assert "- task errors 0.000 -> 1.000  item item-4" in text
    assert "    B:        TimeoutError: no reply" in text
    assert "    expected: right 4" in text
    assert "The first 5:" in text


def test_items_can_be_left_out(pair):
    """max_items=0 shows the table alone."""
    assert "Got" not in comparison_text(compare(*pair), max_items=0)


def test_directions_are_told(run):
    """A comparison names the metrics where lower is better."""
    a = run("a", {"m": [1.0, 0.0]}, higher_is_better={"m": False})
    assert "Lower is better: m" in comparison_text(compare(a, a))


def test_items_without_the_usual_keys_are_shown_as_a_whole(run):
    """Where no key is known the content and the output are shown as JSON."""
    a, b = run("a", {"m": [1.0]}), run("b", {"m": [0.0]})
    for result in (*a.test_results, *b.test_results):
        result.test_case.dataset_item_content = {"city": "Bern"}
        result.test_case.task_output = {"country": "CH"}
    text = comparison_text(compare(a, b))
    assert '    input:    {"city":"Bern"}' in text
    assert '    B:        {"country":"CH"}' in text
    assert "expected" not in text


def test_color_is_asked_for(pair):
    """ANSI styles appear only on request."""
    assert "\x1b[1m" in result_text(pair[0], color=True)


def test_html_escapes_what_users_write(pair):
    """Notebook views are tables, with names and contents escaped."""
    a, b = pair
    b.experiment_name = "<script>"
    for fragment in (result_html(b), comparison_html(compare(a, b)), b._repr_html_()):
        assert "<script>" not in fragment
        assert "&lt;script&gt;" in fragment
        assert "<table>" in fragment
    assert "<pre>" in compare(a, b)._repr_html_()
    assert "<pre>" not in comparison_html(compare(a, a))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (1e-7, "1e-07"),
        (123456.0, "1.23e+05"),
    ],
)
def test_numbers_are_short(value, text):
    """Numbers take few characters at any size."""
    assert number(value) == text


def test_intervals_have_no_more_digits_than_they_mean():
    """Wide intervals show two digits, narrow ones three; an unknown one a dash."""
    assert interval(0.123, 0.456) == "[0.12, 0.46]"
    assert interval(0.1234, 0.1256) == "[0.123, 0.126]"
    assert interval(None, 1.0) == "-"
    assert interval(float("-inf"), float("inf")) == "-"


def test_texts_are_cut_and_wrapped():
    """Long values end in dots; long lines continue indented."""
    assert shorten("a\nb\tc", 10) == "a b c"
    assert shorten("x" * 50, 10) == "xxxxxxx..."
    assert shorten({"k": 1}, 10) == '{"k":1}'
    assert wrap("one two three", 8) == "one two\n  three"
