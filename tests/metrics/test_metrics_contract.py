"""Every deterministic metric of the core passes the battery."""

from __future__ import annotations

import os
import re

import pytest

from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import BaseMetric, ScoreResult
from opik_eval.metrics.exact import Contains, Equals, ExactMatch, RegexMatch
from opik_eval.metrics.function import FunctionMetric
from opik_eval.metrics.numeric import NumericMatch
from opik_eval.metrics.overlap import TokenF1
from opik_eval.metrics.structure import IsJson, JsonSchema
from opik_eval.metrics.text_distance import LevenshteinRatio
from opik_eval.testing.metric_contract import MetricCase, MetricContract

PAIR = {"output": "the cat sat", "reference": "The cat"}
SAME = {"output": "Straße \u00e9", "reference": "Straße e\u0301"}
TEXTS = ("output", "reference")
NO_TEXTS = {"output": 3, "reference": ["a", 3]}
SCHEMA = {"type": "object", "required": ["a"]}


def share_of_a(output, **_ignored):
    """Share of the letter a in a text."""
    text = require_text(output, "output", metric="share_of_a")
    return text.count("a") / max(len(text), 1)


CASES = [
    MetricCase(Equals, PAIR, "equals_metric", SAME, TEXTS, TEXTS),
    MetricCase(lambda: Equals(case_sensitive=True), PAIR, "equals_metric", SAME, TEXTS, TEXTS),
    MetricCase(Contains, PAIR, "contains_metric", SAME, None, ("output",), NO_TEXTS),
    MetricCase(
        lambda: Contains(reference="cat"),
        {"output": "cats"},
        "contains_metric",
        None,
        None,
        ("output",),
        {"output": b"cat"},
    ),
    MetricCase(
        lambda: RegexMatch(r"c.t"),
        {"output": "dogs"},
        "regex_match_metric",
        {"output": "cat"},
        None,
        ("output",),
        {"output": {"a": 1}},
    ),
    MetricCase(
        lambda: RegexMatch(re.compile("CAT", re.IGNORECASE)),
        {"output": "x"},
        "regex_match_metric",
        {"output": "a cat"},
    ),
    MetricCase(ExactMatch, PAIR, "exact_match_metric", SAME, TEXTS, TEXTS, NO_TEXTS),
    MetricCase(TokenF1, PAIR, "token_f1_metric", SAME, TEXTS, TEXTS, NO_TEXTS),
    MetricCase(lambda: TokenF1("recall"), PAIR, "token_f1_metric", SAME, None, TEXTS, NO_TEXTS),
    MetricCase(LevenshteinRatio, PAIR, "levenshtein_ratio_metric", SAME, TEXTS, TEXTS, NO_TEXTS),
    MetricCase(
        lambda: LevenshteinRatio(edits="levenshtein"),
        PAIR,
        "levenshtein_ratio_metric",
        SAME,
        TEXTS,
        TEXTS,
        NO_TEXTS,
    ),
    MetricCase(
        IsJson,
        {"output": "{"},
        "is_json_metric",
        {"output": "{}"},
        None,
        ("output",),
        {"output": {"a": 1}},
    ),
    MetricCase(
        lambda: JsonSchema(SCHEMA),
        {"output": "{}"},
        "json_schema_metric",
        {"output": {"a": 1}},
        None,
        ("output",),
    ),
    MetricCase(
        NumericMatch,
        {"output": "is 3", "reference": "#### 4"},
        "numeric_match_metric",
        {"output": "so 4.0", "reference": 4},
        ("output", "reference"),
        ("output",),
        {"output": True, "reference": [4]},
    ),
    MetricCase(lambda: FunctionMetric(share_of_a), {"output": "banana"}, "share_of_a", texts=()),
]


class TestCoreMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(params=CASES, ids=str)
    def case(self, request):
        """Return one metric."""
        return request.param


def test_the_battery_must_be_told_what_to_test():
    """A subclass without cases is an error, not a green run."""
    with pytest.raises(NotImplementedError, match="override the fixture"):
        MetricContract.case.__wrapped__(MetricContract())


class Careless(BaseMetric):
    """A metric that breaks most rules"""

    value_range = (0.0, 1.0)
    higher_is_better = False
    calls = 0

    def __init__(self, path=os.devnull):
        super().__init__("careless")
        with open(path) as file:  # noqa: PTH123 - the very thing that must be caught
            file.read()

    def score(self, output):
        Careless.calls += 1
        return ScoreResult("careless", float(Careless.calls))

    async def ascore(self, output):
        return 0.5


BROKEN_RULES = [
    "test_the_default_name_is_the_documented_one",
    "test_the_score_carries_the_name_that_was_given",
    "test_scores_are_within_the_declared_range",
    "test_a_perfect_answer_gets_the_best_score",
    "test_symmetric_arguments_can_change_places",
    "test_better_answers_do_not_score_worse",
    "test_order_counts_only_where_it_is_declared_to",
    "test_equal_calls_give_equal_scores",
    "test_score_and_ascore_agree",
    "test_required_arguments_are_part_of_a_valid_call",
    "test_none_is_refused_by_name",
    "test_values_of_a_wrong_type_are_refused_by_name",
    "test_unusual_texts_are_scored",
]


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_the_battery_catches_a_careless_metric(rule):
    """Every rule can fail."""
    Careless.calls = 1
    call = {"output": "x"}
    places = ("output", "output")
    case = MetricCase(
        Careless,
        call,
        "documented",
        call,
        places,
        ("output",),
        {"output": 3},
        ladder=[call, {"output": "better"}],
        reordered=call,
    )
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(MetricContract(), rule)(case)


def test_the_battery_catches_io_and_foreign_arguments(monkeypatch):
    """A constructor that opens a file, and a ``score`` that chokes on what it does not know."""
    case = MetricCase(Careless, {"output": "x"}, "careless")
    with pytest.raises(AssertionError, match="does I/O"):
        MetricContract().test_the_constructor_does_no_io(case, monkeypatch)
    with pytest.raises(TypeError):
        MetricContract().test_arguments_it_does_not_know_are_ignored(case)
    with pytest.raises(pytest.skip.Exception):
        MetricContract().test_dataclasses_are_equal_if_their_configurations_are(case)
