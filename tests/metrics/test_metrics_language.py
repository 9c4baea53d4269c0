"""Language adherence with the packaged detector, and with others."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics import LanguageAdherenceMetric

SENTENCES = {
    "ar": "أين تقع محطة القطار من فضلك؟",
    "cs": "Kde je prosím vlakové nádraží?",
    "de": "Wo finde ich bitte den Bahnhof?",
    "el": "Πού είναι ο σταθμός του τρένου;",
    "en": "Where can I find the train station, please?",
    "es": "¿Dónde está la estación de tren, por favor?",
    "fi": "Missä rautatieasema on, kiitos?",
    "fr": "Où se trouve la gare, s'il vous plaît ?",
    "hi": "कृपया बताइए रेलवे स्टेशन कहाँ है?",
    "it": "Dove si trova la stazione ferroviaria, per favore?",
    "ja": "駅はどこにありますか。",
    "ko": "기차역이 어디에 있습니까?",
    "nl": "Waar kan ik het treinstation vinden, alstublieft?",
    "pl": "Gdzie znajduje się dworzec kolejowy?",
    "pt": "Onde fica a estação de trem, por favor?",
    "ru": "Скажите, пожалуйста, где находится вокзал?",
    "sv": "Var ligger järnvägsstationen, tack?",
    "tr": "Tren istasyonu nerede, lütfen?",
    "uk": "Скажіть, будь ласка, де знаходиться вокзал?",
    "zh": "请问火车站在哪里?",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_in_its_own_language_alone(language):
    """Twenty languages, one sentence each."""
    other = "de" if language == "en" else "en"
    score = LanguageAdherenceMetric(language).score(output=SENTENCES[language])
    assert score.value == 1.0, score.reason
    assert score.metadata["detected_language"] == language
    assert LanguageAdherenceMetric(other).score(output=SENTENCES[language]).value == 0.0


@pytest.mark.parametrize("expected", ["EN", "en-US", "en_GB", " en "])
def test_regions_and_case_of_the_code_do_not_matter(expected):
    """Only the language is compared."""
    assert LanguageAdherenceMetric(expected).score(output=SENTENCES["en"]).value == 1.0


def test_a_guess_says_that_it_is_one():
    """One word is too little."""
    score = LanguageAdherenceMetric("en").score(output="ok")
    assert score.reason.endswith("too little text to be sure")
    assert score.metadata["confidence"] < 0.5
    long = LanguageAdherenceMetric("en").score(output=SENTENCES["en"] * 10)
    assert long.metadata["confidence"] > 0.9


@pytest.mark.parametrize("text", ["42!", "👍"])
def test_texts_without_letters_cannot_be_judged(text):
    """That is an error and not a low score; an empty text is a wrong answer."""
    assert LanguageAdherenceMetric("en").score(output=" \n").value == 0.0
    with pytest.raises(MetricError, match="no letters"):
        LanguageAdherenceMetric("en").score(output=text)


@given(st.text(alphabet="abc äßéñ日本語привет", min_size=1))
def test_the_answer_is_always_the_same(text):
    """Whatever the text."""
    metric = LanguageAdherenceMetric("en")
    if any(map(str.isalpha, text)):
        assert metric.score(output=text) == metric.score(output=text)


def test_a_detector_can_be_given():
    """Any function that returns a code and a confidence."""
    metric = LanguageAdherenceMetric("tlh", detector=lambda text: ("tlh-Latn", 0.9))
    score = metric.score(output="nuqneH")
    assert (score.value, score.reason) == (1.0, "detected 'tlh-Latn' with confidence 0.90")


def test_a_model_of_fasttext_can_be_given(monkeypatch):
    """It is loaded once, gets the text on one line, and its labels are understood."""
    loaded = []

    class Model:
        def predict(self, text):
            assert "\n" not in text
            return ("__label__fr",), (0.75,)

    def load_model(path):
        loaded.append(path)
        return Model()

    fasttext = ModuleType("fasttext")
    fasttext.load_model = load_model
    monkeypatch.setitem(sys.modules, "fasttext", fasttext)
    metric = LanguageAdherenceMetric("fr", model_path="lid.ftz")
    for _ in range(2):
        assert metric.score(output="bonjour\nà tous").value == 1.0
    assert loaded == ["lid.ftz"]


@pytest.mark.parametrize("language", ["", " ", None, "-"])
def test_a_language_must_be_given(language):
    """Otherwise nothing would ever adhere."""
    with pytest.raises(MetricError, match="expected_language"):
        LanguageAdherenceMetric(language)
