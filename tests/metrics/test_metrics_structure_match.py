"""Field match and similarity of JSON values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel, LCSseq

from opik_eval.errors import MetricError
from opik_eval.metrics import Equals, JsonDiff, JsonFieldMatch, LevenshteinRatio, NumericMatch
from opik_eval.metrics.base import BaseMetric
from opik_eval.metrics.json_difference import JsonComparison, count_leaves
from opik_eval.metrics.json_values import (
    MISSING,
    find_path,
    json_value,
    leaves,
    same_json,
    shown,
)
from opik_eval.metrics.matching import best_alignment, best_pairs
from opik_eval.testing.metric_contract import MetricCase, MetricContract

PAIR = {"output": '{"a": 1, "b": [1, 2]}', "reference": {"a": 1, "b": [2]}}
SAME = {"output": '{"a": 1.0, "b": [2]}', "reference": {"b": [2], "a": 1}}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 2.0])
    | st.text("ab", max_size=3),
    lambda parts: (
        st.lists(parts, max_size=4) | st.dictionaries(st.sampled_from("xyz"), parts, max_size=3)
    ),
    max_leaves=12,
)


def starts_alike(output, reference):
    """Tell whether two texts start with the same letter."""
    return output[0] == reference[0]


class TestStructureMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(
        params=[
            MetricCase(JsonFieldMatch, PAIR, "json_field_match_metric", SAME, texts=("output",)),
            MetricCase(
                lambda: JsonFieldMatch({"a": NumericMatch(), "b[0]": None}, False),
                PAIR,
                "json_field_match_metric",
                SAME,
                wrong={"reference": "{"},
            ),
            MetricCase(
                JsonDiff,
                PAIR,
                "json_diff_metric",
                SAME,
                ("output", "reference"),
                ("output",),
                {"reference": "not JSON"},
            ),
            MetricCase(lambda: JsonDiff(ordered=False), PAIR, "json_diff_metric", SAME),
        ],
        ids=str,
    )
    def case(self, request):
        """Return one metric."""
        return request.param


@given(value=values)
def test_every_leaf_is_found_by_its_path(value):
    """``leaves`` and ``find_path`` are inverse; leaves are counted as they are listed."""
    plain = json_value(json.dumps(value))
    found = list(leaves(plain))
    assert len(found) == count_leaves(plain)
    assert all(same_json(find_path(plain, path), leaf) for path, leaf in found)


@given(keys=st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_any_key_can_be_part_of_a_path(keys):
    """Dots, brackets and quotes in keys included."""
    value: object = 1
    for key in reversed(keys):
        value = {key: [value]}
    [(path, leaf)] = leaves(value)
    assert (leaf, find_path(value, path)) == (1, 1)


@pytest.mark.parametrize("path", ["b", "a.b", "a[0]", "l[2]", "l.x", "a[", "l[0][0]", "l[x]"])
def test_what_is_not_there_is_missing(path):
    """Wrong keys, wrong indices, wrong kinds and broken paths alike."""
    found = find_path({"a": {"c": 1}, "l": [1, 2]}, path)
    assert found is MISSING
    assert repr(found) == "nothing"


def test_a_key_that_looks_like_a_path_goes_first():
    """Keys with dots can be written as they are."""
    assert find_path({"a.b": 1, "a": {"b": 2}}, "a.b") == 1


def test_long_values_are_shortened_in_reasons():
    """To 80 characters."""
    assert len(shown("x" * 500)) == 80


def test_every_leaf_of_the_reference_is_a_field():
    """Without ``fields``; the reason lists the wrong ones with both values."""
    score = JsonFieldMatch().score(
        output={"name": "Ann", "tags": ["x"], "age": None, "more": 1},
        reference={"name": "ann", "tags": ["x", "y"], "age": 3, "nick": None},
    )
    assert score.value == 2 / 5
    assert score.reason.splitlines() == [
        'name: expected "ann", found "Ann"',
        'tags[1]: "y" is missing',
        "age: expected 3, found null",
    ]
    assert score.metadata["fields"]["tags[0]"] == 1.0


def test_fields_are_compared_as_told():
    """By metrics, by functions, exactly; only those that are named."""
    fields = {
        "total": NumericMatch(absolute_tolerance=0.5),
        "name": LevenshteinRatio(),
        "code": starts_alike,
        "lines": None,
    }
    reference = {"total": 10, "name": "Anna", "code": "X1", "lines": [1, 2], "unused": 0}
    output = {"total": "10.4", "name": "Anne", "code": "X2", "lines": [1, 2.0]}
    score = JsonFieldMatch(fields).score(output, reference)
    assert score.metadata["fields"] == {"total": 1.0, "name": 0.75, "code": 1.0, "lines": 1.0}
    assert score.value == pytest.approx(3.75 / 4)
    assert JsonFieldMatch(["name", "total"]).score(output, reference).value == 0.0


def test_extra_fields_cost_only_if_not_allowed():
    """Each leaf that the reference does not have is a wrong field then."""
    output, reference = {"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1}
    assert JsonFieldMatch().score(output, reference).value == 1.0
    strict = JsonFieldMatch(extra_fields_allowed=False).score(output, reference)
    assert strict.value == pytest.approx(1 / 3)
    assert "b.c: 2 is not expected" in strict.reason


def test_an_output_that_is_no_json_has_nothing_right():
    """It is a wrong answer, not a failure."""
    for metric in (JsonFieldMatch(), JsonDiff()):
        score = metric.score(output="sorry", reference={"a": 1})
        assert score.value == 0.0
        assert score.reason.startswith("not JSON")


def test_a_reference_without_the_field_is_an_error():
    """A typo in a path must not look like a right answer."""
    with pytest.raises(MetricError, match="the field 'nmae', which 'reference' lacks"):
        JsonFieldMatch(["nmae"]).score({"name": "x"}, {"name": "x"})


def test_a_value_of_another_type_is_wrong_but_a_wrong_reference_an_error():
    """What a metric refuses is a wrong field in the output, and an error in the reference."""
    metric = JsonFieldMatch({"a": LevenshteinRatio()})
    assert metric.score({"a": 5}, {"a": "five"}).value == 0.0
    with pytest.raises(MetricError, match="compares texts"):
        metric.score({"a": "five"}, {"a": 5})


@pytest.mark.parametrize("returned", [2.0, -0.1, None, "good", [1.0, 0.0]])
def test_a_comparator_must_return_0_to_1(returned):
    """Anything else is an error that names the field."""
    metric = JsonFieldMatch({"a": lambda _output, _reference: returned})
    with pytest.raises(MetricError, match="the comparator of 'a' returned"):
        metric.score({"a": 1}, {"a": 2})


class Worse(BaseMetric):
    """Lower is better."""

    higher_is_better = False

    def score(self, output, reference):
        return 0.0


class Slow(BaseMetric):
    """Asynchronous."""

    async def ascore(self, output, reference):
        return 0.0


async def slow(output, reference):
    """Asynchronous, too."""


@pytest.mark.parametrize("comparator", [3, Equals, Worse(), Slow(), slow])
def test_what_cannot_compare_is_refused_at_once(comparator):
    """When the metric is made."""
    with pytest.raises(MetricError, match="cannot compare 'a' by"):
        JsonFieldMatch({"a": comparator})


@pytest.mark.parametrize("fields", [[], {}, "name"])
def test_fields_must_be_some_paths(fields):
    """An empty list, or a text in place of a list, is a mistake."""
    with pytest.raises(MetricError, match="got fields="):
        JsonFieldMatch(fields)


# Worked out by hand: output, reference, leaves in common.
COMMON = [
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 1),
    ({"a": 1}, {"b": 1}, 0),
    ([1, 2, 3], [0, 1, 2, 3], 3),
    ([1, 2, 3], [3, 2, 1], 1),
    ([{"a": 1, "b": 2}, {"a": 3}], [{"a": 1}, {"a": 3, "b": 2}], 2),
    ({}, [], 0),
    ({}, {}, 1),
    ([], [1], 0),
    (True, 1, 0),
    (None, None, 1),
    (None, {}, 0),
    ("ab", "abc", 0.8),
    ([[1, 2], [3]], [[3]], 1),
]


@pytest.mark.parametrize(("one", "other", "common"), COMMON)
def test_what_two_values_have_in_common(one, other, common):
    """The table, in both directions, and the similarity that follows."""
    comparison = JsonComparison()
    assert comparison.common(one, other) == comparison.common(other, one) == pytest.approx(common)
    size = count_leaves(one) + count_leaves(other)
    assert JsonDiff().score([one], [other]).value == pytest.approx(2 * common / size)


@settings(max_examples=150)
@given(one=values, other=values, ordered=st.booleans(), text_credit=st.booleans())
def test_similarity_behaves(one, other, ordered, text_credit):
    """In 0 to 1, symmetric, and 1 exactly where no difference is listed."""
    metric = JsonDiff(ordered=ordered, text_credit=text_credit)
    score, swapped = metric.score([one], [other]), metric.score([other], [one])
    assert 0 <= score.value <= 1
    assert score.value == pytest.approx(swapped.value)
    assert (score.value == 1) == (score.reason is None)
    assert metric.score([one], [one]).value == 1
    if ordered:
        assert (score.value == 1) == same_json(one, other)


@given(one=st.lists(st.integers(0, 3), max_size=9), other=st.lists(st.integers(0, 3), max_size=9))
def test_on_lists_of_leaves_it_is_the_indel_similarity(one, other):
    """The well-known measure of sequences is a special case."""
    if one and other:
        expected = Indel.normalized_similarity(one, other)
        assert JsonDiff().score(one, other).value == pytest.approx(expected)


@given(value=values, extra=values, seed=st.randoms())
def test_order_matters_only_if_it_is_told_to(value, extra, seed):
    """A shuffled array is the same set of elements."""
    array = [value, extra, 1, "b"]
    shuffled = array[:]
    seed.shuffle(shuffled)
    assert JsonDiff(ordered=False).score(shuffled, array).value == 1.0


def test_numbers_are_equal_within_the_tolerance():
    """As a share of the larger one; integers of any size."""
    near = JsonDiff(relative_tolerance=0.01)
    assert near.score([100], [101]).value == 1.0
    assert near.score([100], [102]).value == 0.0
    assert near.score([10**500], [10**500 + 1]).value == 1.0
    assert JsonDiff().score([100], [101]).value == 0.0
    with pytest.raises(MetricError, match="relative_tolerance is -1"):
        JsonDiff(relative_tolerance=-1)


def test_differences_are_listed_by_path():
    """Missing, unexpected and changed, in the reference's order; many are cut, and counted."""
    reference = {"a": [1, {"b": 2}, 3], "c": 4}
    output = {"a": [1, {"b": 5}], "d": 6, "c": 7}
    assert JsonDiff().score(output, reference).reason.splitlines() == [
        "a[1].b: expected 2, found 5",
        "a[2]: 3 is missing",
        "c: expected 4, found 7",
        "d: 6 is not expected",
    ]
    assert JsonDiff().score([1, 2, 9], [1, 2]).reason == "a[2]: 9 is not expected"[1:]
    assert JsonDiff().score(1, 2).reason == "the value: expected 2, found 1"
    many = JsonDiff().score([], list(range(30))).reason.splitlines()
    assert len(many) == 11
    assert many[-1] == "and 20 more"


def test_too_deep_a_value_is_no_crash():
    """A text that cannot be read is wrong; values that cannot be compared are an error."""
    one, other = ("[" * depth + "1" + "]" * depth for depth in (100_000, 100_000))
    assert JsonDiff().score(one, [1]).reason == "not JSON: nested too deeply"
    one, other = ("[" * 250 + number + "]" * 250 for number in "12")

    def compare(calls_around: int) -> object:
        return compare(calls_around - 1) if calls_around else JsonDiff().score(one, other)

    with pytest.raises(MetricError, match="nested too deeply"):
        compare(700)


def test_integers_of_any_length_are_compared():
    """Even those that Python refuses to read."""
    long = "7" * 5000
    assert JsonDiff().score(f"[{long}]", f"[{long}]").value == 1.0
    assert JsonDiff(text_credit=False).score(f"[{long}]", f"[{long}1]").value == 0.0


worths = st.integers(0, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0, 0.25, 0.5, 1]), min_size=width, max_size=width), max_size=5
    )
)


def best_total(table, *, ordered, row=0, used=frozenset()):
    """Try everything."""
    if row == len(table):
        return 0
    best = best_total(table, ordered=ordered, row=row + 1, used=used)
    for column in range(len(table[0])):
        if column not in used and (not ordered or column > max(used, default=-1)):
            rest = best_total(table, ordered=ordered, row=row + 1, used=used | {column})
            best = max(best, table[row][column] + rest)
    return best


@given(table=worths)
def test_pairings_are_the_best_there_are(table):
    """No pairing found by trying everything is worth more; no pair is worth nothing."""
    for pair_up, ordered in ((best_pairs, False), (best_alignment, True)):
        pairs = pair_up(table)
        assert sum(pair.worth for pair in pairs) == best_total(table, ordered=ordered)
        assert all(pair.worth == table[pair.row][pair.column] > 0 for pair in pairs)
        assert (
            len({pair.row for pair in pairs}) == len({pair.column for pair in pairs}) == len(pairs)
        )
        if ordered:
            assert pairs == sorted(pairs)


@given(one=st.text("abc", max_size=8), other=st.text("abc", max_size=8))
def test_an_alignment_of_letters_is_their_longest_common_subsequence(one, other):
    """The oracle is rapidfuzz."""
    table = [[float(a == b) for b in other] for a in one]
    assert len(best_alignment(table)) == LCSseq.similarity(one, other)
