"""Metrics of rankings, against hand-worked tables, scikit-learn and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from opik_eval.errors import MetricError
from opik_eval.metrics import NDCG, AveragePrecision, PrecisionAtK, RecallAtK, ReciprocalRank
from opik_eval.metrics.retrieval import RetrievalMetric
from opik_eval.testing.metric_contract import MetricCase, MetricContract

CALL = {"retrieved": ["a", "x", "b"], "relevant": ["a", "b", "c"]}
BEST = {"retrieved": ["a", "b", "c"], "relevant": {"a": 3, "b": 2, "c": 1}}
WRONG = {"retrieved": "a", "relevant": [1.5]}


class TestRetrievalMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(
        params=[
            MetricCase(PrecisionAtK, CALL, "precision", BEST, wrong=WRONG),
            MetricCase(lambda: PrecisionAtK(3), CALL, "precision_at_3", BEST, wrong=WRONG),
            MetricCase(lambda: RecallAtK(k=3), CALL, "recall_at_3", BEST, wrong=WRONG),
            MetricCase(ReciprocalRank, CALL, "reciprocal_rank", BEST, wrong=WRONG),
            MetricCase(AveragePrecision, CALL, "average_precision", BEST, wrong=WRONG),
            MetricCase(lambda: NDCG(5), CALL, "ndcg_at_5", BEST, wrong=WRONG),
            MetricCase(lambda: NDCG(gain="exponential"), CALL, "ndcg", BEST, wrong=WRONG),
        ],
        ids=str,
    )
    def case(self, request):
        """Return one metric."""
        return request.param


# Worked out by hand for retrieved = a x b y, relevant = a b c.
TABLE = [
    (PrecisionAtK(), 2 / 4),
    (PrecisionAtK(1), 1.0),
    (PrecisionAtK(2), 1 / 2),
    (PrecisionAtK(8), 2 / 8),
    (RecallAtK(), 2 / 3),
    (RecallAtK(2), 1 / 3),
    (ReciprocalRank(), 1.0),
    (AveragePrecision(), (1 + 2 / 3) / 3),
    (AveragePrecision(2), 1 / 3),
    (NDCG(), (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)),
    (NDCG(1), 1.0),
]


@pytest.mark.parametrize(("metric", "expected"), TABLE, ids=lambda value: str(value)[:40])
def test_table(metric, expected):
    """Values worked out by hand."""
    score = metric.score(retrieved=["a", "x", "b", "y"], relevant={"a", "b", "c"})
    assert score.value == pytest.approx(expected)


@pytest.mark.parametrize("metric", [each for each, _ in TABLE], ids=str)
def test_nothing_retrieved_is_a_zero_and_nothing_relevant_is_no_score(metric):
    """An empty ranking is a wrong answer; an item without relevant documents measures nothing."""
    assert metric.score(retrieved=[], relevant=["a"]).value == 0.0
    for relevant in ([], {}, {"a": 0}):
        score = metric.score(retrieved=["a"], relevant=relevant)
        assert (score.value, score.scoring_failed) == (None, False)
        assert "no relevant document" in score.reason


def test_a_repeated_document_is_no_second_hit():
    """It keeps its rank, so that a ranking cannot win by repeating itself."""
    twice = {"retrieved": ["a", "a", "b"], "relevant": ["a", "b"]}
    assert PrecisionAtK().score(**twice).value == pytest.approx(2 / 3)
    assert RecallAtK(2).score(**twice).value == 0.5
    assert AveragePrecision().score(**twice).value == pytest.approx((1 + 2 / 3) / 2)


def test_grades_matter_to_ndcg_alone():
    """Elsewhere every grade above 0 is relevant; ids of JSON objects are texts."""
    graded = {"retrieved": [2, 1], "relevant": {"1": 3, "2": 1, "3": 0}}
    assert RecallAtK().score(**graded).value == 1.0
    discount = 1 / math.log2(3)
    assert NDCG().score(**graded).value == pytest.approx((1 + 3 * discount) / (3 + discount))
    exponential = NDCG(gain="exponential").score(**graded).value
    assert exponential == pytest.approx((1 + 7 * discount) / (7 + discount))


@pytest.mark.parametrize("grade", [-1, math.nan, math.inf, "high"])
def test_a_grade_that_is_none_is_refused(grade):
    """Negative, infinite and textual grades are errors that name the document."""
    with pytest.raises(MetricError, match=r"grades 'a' with"):
        NDCG().score(retrieved=["a"], relevant={"a": grade})


@pytest.mark.parametrize("k", [0, -1, True, 2.5])
def test_an_impossible_k_is_refused(k):
    """When the metric is made."""
    with pytest.raises(MetricError, match="'precision': k is"):
        PrecisionAtK(k)


def test_an_unknown_gain_is_refused():
    """When the metric is made."""
    with pytest.raises(MetricError, match="no gain='log'"):
        NDCG(gain="log")


def test_a_document_instead_of_its_id_is_refused_with_the_way_out():
    """The remedy shows how to map documents to ids."""
    with pytest.raises(MetricError, match="takes a list of ids as 'retrieved'") as refusal:
        PrecisionAtK().score(retrieved=[{"id": "a"}], relevant=["a"])
    assert "d['id'] for d in" in refusal.value.remedy


def test_the_base_is_no_metric():
    """A ranking metric says what it measures."""
    with pytest.raises(NotImplementedError):
        RetrievalMetric(name="base").score(retrieved=["a"], relevant=["a"])


gradings = st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(any)


@given(grades=gradings, k=st.integers(1, 14) | st.none())
def test_ndcg_agrees_with_scikit_learn(grades, k):
    """For rankings of all documents."""
    ids = [f"d{index}" for index in range(len(grades))]
    expected = ndcg_score([grades], [np.arange(len(grades), 0, -1)], k=k)
    score = NDCG(k).score(retrieved=ids, relevant=dict(zip(ids, grades, strict=True)))
    assert score.value == pytest.approx(expected)


@given(grades=gradings)
def test_average_precision_agrees_with_scikit_learn(grades):
    """For rankings of all documents."""
    ids = [f"d{index}" for index in range(len(grades))]
    relevant = [i for i, grade in zip(ids, grades, strict=True) if grade]
    truth = [[int(grade > 0) for grade in grades]]
    expected = label_ranking_average_precision_score(truth, [np.arange(len(grades), 0, -1)])
    assert AveragePrecision().score(ids, relevant).value == pytest.approx(expected)


@given(
    retrieved=st.lists(st.sampled_from("abcdef"), max_size=8),
    relevant=st.sets(st.sampled_from("abcdef"), min_size=1),
    k=st.integers(1, 10),
)
def test_what_the_measures_owe_each_other(retrieved, relevant, k):
    """Precision times k is recall times the number of relevant ones; all lie in 0 to 1."""
    call = {"retrieved": retrieved, "relevant": relevant}
    metrics = (PrecisionAtK(k), RecallAtK(k), ReciprocalRank(k), AveragePrecision(k), NDCG(k))
    precision, recall, *rest = (metric.score(**call).value for metric in metrics)
    assert precision * k == pytest.approx(recall * len(relevant))
    assert all(0 <= value <= 1 for value in (precision, recall, *rest))
    assert all((value > 0) == (recall > 0) for value in rest)
