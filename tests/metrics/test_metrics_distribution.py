"""Jensen-Shannon and Kullback-Leibler against scipy."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from metrics_text_corpus import ASCII_PAIRS, UNICODE_PAIRS
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from opik_eval.errors import MetricError
from opik_eval.metrics import JSDistance, JSDivergence, KLDivergence
from opik_eval.metrics.words import lowercase_split, words

PAIRS = [*ASCII_PAIRS, *UNICODE_PAIRS]


def vectors(output, reference):
    """Return the counts of all words in both texts."""
    counts = [Counter(lowercase_split(text)) for text in (output, reference)]
    vocabulary = sorted(counts[0].keys() | counts[1].keys())
    return [np.array([c[word] for word in vocabulary], dtype=float) for c in counts]


def smoothed(vector, smoothing):
    """Return probabilities with something added, summing to 1."""
    raised = vector / vector.sum() + smoothing
    return raised / raised.sum()


@pytest.mark.parametrize("base", [2.0, 10.0])
def test_jensen_shannon_is_scipys(base):
    """The distance is scipy's, the divergence its square, and the similarity 1 less that."""
    for output, reference in PAIRS:
        distance = jensenshannon(*vectors(output, reference), base=base)
        assert JSDistance(base=base).score(output, reference).value == pytest.approx(
            distance, abs=1e-7
        )
        similarity = JSDivergence(base=base).score(output, reference)
        assert similarity.value == pytest.approx(1 - distance**2, abs=1e-12)
        assert similarity.metadata["distance"] == pytest.approx(distance, abs=1e-7)


@pytest.mark.parametrize("smoothing", [1e-12, 1e-3])
def test_kullback_leibler_is_scipys_of_the_smoothed_probabilities(smoothing):
    """In both directions and on average."""
    for output, reference in PAIRS:
        p, q = (smoothed(vector, smoothing) for vector in vectors(output, reference))
        expected = {"pq": entropy(p, q), "qp": entropy(q, p)}
        expected["avg"] = (expected["pq"] + expected["qp"]) / 2
        for direction, value in expected.items():
            score = KLDivergence(direction=direction, smoothing=smoothing).score(output, reference)
            assert score.value == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "output", "reference", "expected"),
    [
        (JSDivergence(), "a b", "b a", 1.0),
        (JSDivergence(), "a", "b", 0.0),
        (JSDivergence(), "", "", 1.0),
        (JSDivergence(), "", "a", 0.0),
        (JSDistance(), "a a b", "a b b", 0.2858),
        (JSDistance(), "a", "b", 1.0),
        (KLDivergence(), "a a b", "a b b", 0.231),
        (KLDivergence(), "a", "b", 27.631),
        (KLDivergence(), "", "", 0.0),
        (KLDivergence(), "", "a", 27.631),
        (KLDivergence(smoothing=1.0), "a", "b", 0.231),
    ],
)
def test_golden_scores(metric, output, reference, expected):
    """These values do not change with the versions of anything."""
    assert metric.score(output, reference).value == pytest.approx(expected, abs=5e-4)


def test_counts_are_compared_by_the_generalised_divergence():
    """Twice the text is not the same text, and nothing is below 0."""
    metric = KLDivergence(normalize=False)
    assert metric.score("a a", "a").value == pytest.approx(2 * math.log(2) - 2 + 1)
    assert metric.score("a", "a a").value == pytest.approx(math.log(0.5) - 1 + 2)
    assert metric.score("a", "a").value == 0.0


def test_texts_without_spaces_need_another_tokenizer():
    """Any function will do."""
    pair = ("猫が好き", "犬が好き")
    assert JSDivergence().score(*pair).value == 0.0
    assert JSDivergence(tokenizer=words).score(*pair).value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: JSDivergence(base=1.5), "base=1.5"),
        (lambda: JSDistance(base=float("nan")), "base=nan"),
        (lambda: KLDivergence(direction="both"), "direction='both'"),
        (lambda: KLDivergence(smoothing=0.0), "smoothing=0.0"),
    ],
)
def test_impossible_options_are_refused_at_once(make, named):
    """The error names the option and says what is possible."""
    with pytest.raises(MetricError, match=named) as refusal:
        make()
    assert refusal.value.remedy
