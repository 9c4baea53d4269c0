"""chrF against sacrebleu."""

from __future__ import annotations

import unicodedata

import pytest
from metrics_text_corpus import ASCII_PAIRS, PAIRS
from sacrebleu.metrics import CHRF

from opik_eval.errors import MetricError
from opik_eval.metrics import ChrF

OPTIONS = [
    {},
    {"word_order": 2},
    {"char_order": 3, "beta": 1},
    {"lowercase": True, "word_order": 1},
    {"ignore_whitespace": False},
    {"char_order": 0, "word_order": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_chrf_is_sacrebleus(options):
    """For all orders, with and without spaces, words and case."""
    metric = ChrF(**options)
    oracle = CHRF(
        char_order=options.get("char_order", 6),
        word_order=options.get("word_order", 0),
        beta=options.get("beta", 2),
        lowercase=options.get("lowercase", False),
        whitespace=not options.get("ignore_whitespace", True),
    )
    for pair in [*ASCII_PAIRS, *PAIRS]:
        output, reference = (unicodedata.normalize("NFC", text) for text in pair)
        if not (output.split() and reference.split()):
            continue
        expected = oracle.sentence_score(output, [reference]).score / 100
        assert metric.score(output=output, reference=reference).value == pytest.approx(expected)


def test_the_best_of_several_references_is_sacrebleus():
    """Chosen by the score."""
    references = ["the cat", "a cat sat there", "dogs"]
    expected = CHRF().sentence_score("a cat sat", references).score / 100
    assert ChrF().score(output="a cat sat", reference=references).value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("hello", "hello", 1.0),
        ("東京", "東京", 1.0),
        ("caf\u00e9", "cafe\u0301", 1.0),
        ("the cats", "the cat", 0.9326),
        ("abc", "xyz", 0.0),
        ("", "", 1.0),
        ("", "a", 0.0),
        ("a", " ", 0.0),
    ],
)
def test_golden_scores(output, reference, expected):
    """These values do not change with the versions of anything."""
    value = ChrF().score(output=output, reference=reference).value
    assert value == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    "options", [{"char_order": 0}, {"char_order": -1, "word_order": 2}, {"beta": 0.0}]
)
def test_impossible_options_are_refused_at_once(options):
    """Nothing to compare, or no balance."""
    with pytest.raises(MetricError, match="char_order") as refusal:
        ChrF(**options)
    assert "positive" in refusal.value.remedy


def test_a_function_can_compare():
    """It gets the output and the references, normalised."""
    metric = ChrF(lowercase=True, chrf_fn=lambda text, truths: float([text] == truths))
    assert metric.score(output="Cafe\u0301", reference="CAF\u00c9").value == 1.0
