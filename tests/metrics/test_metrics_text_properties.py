"""What holds for metrics of output and reference, whatever the texts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_text_corpus import PAIRS, texts

from opik_eval.metrics import (
    GLEU,
    METEOR,
    ROUGE,
    ChrF,
    JSDistance,
    JSDivergence,
    KLDivergence,
    SentenceBLEU,
)

SIMILARITIES = [
    *(SentenceBLEU(smoothing_method=f"method{number}") for number in range(8)),
    GLEU(),
    METEOR(),
    METEOR(alpha=0.5, synonyms=lambda word: {word[::-1]}),
    ChrF(),
    ChrF(word_order=2, ignore_whitespace=False, lowercase=True, beta=1.0),
    *(ROUGE(kind, use_stemmer=True) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")),
    JSDivergence(),
]
DISTANCES = [JSDistance(), KLDivergence(), KLDivergence(direction="qp", smoothing=0.5)]
ALL = [*SIMILARITIES, *DISTANCES]
SYMMETRIC = [
    GLEU(),
    ChrF(beta=1.0),
    ROUGE("rouge1"),
    ROUGE("rouge2"),
    ROUGE("rougeL"),
    JSDivergence(),
    JSDistance(),
    KLDivergence(direction="avg"),
]
ORDERLESS = [ROUGE("rouge1"), JSDivergence(), JSDistance(), KLDivergence()]
BEST_OF = [GLEU(), METEOR(), ChrF(), ROUGE("rouge1"), ROUGE("rougeLsum")]


def value(metric, output, reference):
    """Return the value of one score."""
    return metric.score(output=output, reference=reference).value


def names(metrics):
    """Return ids of metrics for reports."""
    return [f"{type(metric).__name__}-{index}" for index, metric in enumerate(metrics)]


@pytest.mark.parametrize("metric", ALL, ids=names(ALL))
def test_scores_stay_inside_the_declared_range(metric):
    """For texts of all kinds, any two of them."""
    lowest, highest = metric.value_range

    @settings(max_examples=60, deadline=None)
    @given(texts, texts)
    def check(output, reference):
        assert lowest <= value(metric, output, reference) <= highest

    check()
    for output, reference in PAIRS:
        assert lowest <= value(metric, output, reference) <= highest


@pytest.mark.parametrize("metric", ALL, ids=names(ALL))
def test_a_text_is_as_close_as_can_be_to_itself(metric):
    """Also in the other spelling of its accents, and however short it is."""
    best = 1.0 if metric.higher_is_better else 0.0

    @settings(max_examples=60, deadline=None)
    @given(texts)
    def check(text):
        # What NFC makes of a text, it makes of its decomposed form too.
        assert value(metric, text, text) == best
        assert value(metric, unicodedata.normalize("NFD", text), text) == best

    check()
    for pair in PAIRS:
        for text in pair:
            assert value(metric, text, text) == best


@pytest.mark.parametrize("metric", SYMMETRIC, ids=names(SYMMETRIC))
def test_symmetric_metrics_do_not_care_which_text_is_the_output(metric):
    """Swapping output and reference changes nothing."""

    @settings(max_examples=60, deadline=None)
    @given(texts, texts)
    def check(one, other):
        assert value(metric, one, other) == pytest.approx(value(metric, other, one), abs=1e-12)

    check()


@pytest.mark.parametrize(
    "metric", [METEOR(), ChrF(), SentenceBLEU(), KLDivergence()], ids=lambda m: type(m).__name__
)
def test_the_others_do_care(metric):
    """Recall and brevity are about the reference."""
    assert value(metric, "the cat", "the cat sat down") != value(
        metric, "the cat sat down", "the cat"
    )


@pytest.mark.parametrize("metric", ORDERLESS, ids=names(ORDERLESS))
def test_metrics_of_frequencies_do_not_see_the_order_of_words(metric):
    """Shuffled words give the same score."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(["a", "b", "c", "d"])), st.data())
    def check(tokens, data):
        shuffled = data.draw(st.permutations(tokens))
        expected = value(metric, " ".join(tokens), "a b b c")
        assert value(metric, " ".join(shuffled), "a b b c") == pytest.approx(expected, abs=1e-12)

    check()


@pytest.mark.parametrize("metric", BEST_OF, ids=names(BEST_OF))
def test_the_best_reference_counts(metric):
    """The score with several references is the highest of the scores with each."""

    @settings(max_examples=60, deadline=None)
    @given(texts, st.lists(texts, min_size=1, max_size=4))
    def check(output, references):
        assert value(metric, output, references) == max(
            value(metric, output, reference) for reference in references
        )

    check()
