"""METEOR against NLTK."""

from __future__ import annotations

import pytest
from metrics_text_corpus import ASCII_PAIRS
from nltk.translate.meteor_score import single_meteor_score

from opik_eval.errors import MetricError
from opik_eval.metrics import METEOR, extras
from opik_eval.metrics.porter import stem

SYNONYMS = {"cat": ["kitty", "dog"], "quick": ["news", "fast_lane"], "mat": ["under", "sit"]}
VOCABULARY = {word.lower() for pair in ASCII_PAIRS for text in pair for word in text.split()}


class Lemma:
    """A word of a synset."""

    def __init__(self, name):
        self._name = name

    def name(self):
        return self._name


class Synset:
    """A set of synonyms as NLTK's WordNet reader returns it."""

    def __init__(self, names):
        self._names = names

    def lemmas(self):
        return [Lemma(name) for name in self._names]


class WordNet:
    """A stand-in for NLTK's WordNet with a few words in it."""

    def synsets(self, word):
        return [Synset(SYNONYMS[word])] if word in SYNONYMS else []


def oracle(output, reference, **options):
    """Return NLTK's score with the synonyms above."""
    return single_meteor_score(reference.split(), output.split(), wordnet=WordNet(), **options)


def with_synonyms(word):
    """Return words whose stems are synonyms of the word's stem, as NLTK sees it."""
    wanted = {name for name in SYNONYMS.get(stem(word), ()) if "_" not in name}
    return {other for other in VOCABULARY if stem(other) in wanted}


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "beta": 1.0, "gamma": 0.3}], ids=str)
def test_meteor_is_nltks_but_for_texts_aligned_whole(options):
    """Exact words, stems and synonyms are aligned alike, and penalised alike."""
    metric = METEOR(synonyms=with_synonyms, **options)
    compared = 0
    for output, reference in ASCII_PAIRS:
        value = metric.score(output=output, reference=reference).value
        if value < 1:
            assert value == pytest.approx(oracle(output, reference, **options), abs=1e-12)
            compared += 1
    assert compared > 150


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("hello", "hello", 1.0),
        ("the cat sat on the mat", "the cat sat on the mat", 1.0),
        ("cats", "cat", 1.0),
        ("the cat sat", "the cat sat down", 0.755),
        ("sat cat the", "the cat sat", 0.5),
        ("dog", "cat", 0.0),
        ("", "", 1.0),
        ("a", "", 0.0),
    ],
)
def test_golden_scores(output, reference, expected):
    """These values do not change with the versions of anything."""
    value = METEOR().score(output=output, reference=reference).value
    assert value == pytest.approx(expected, abs=5e-4)


def test_synonyms_count_only_if_asked_for():
    """A function says what means the same."""
    assert METEOR().score(output="a big car", reference="a big auto").value < 0.7
    metric = METEOR(synonyms=lambda word: {"car": {"auto"}}.get(word, ()))
    assert metric.score(output="a big car", reference="a big auto").value == 1.0


def test_a_missing_package_names_its_extra():
    """So that one line repairs it."""
    with pytest.raises(MetricError, match="'no_such_package', which cannot") as refusal:
        extras.load_extra("no_such_package.part", extra="text", metric="m")
    assert refusal.value.remedy == 'pip install "opik-eval[text]"'


def test_a_function_can_score():
    """It gets the references and the output as texts."""
    metric = METEOR(lambda references, output: float(references == ("a b",) and output == "x"))
    assert metric.score(output="x", reference="a b").value == 1.0


@pytest.mark.parametrize("options", [{"alpha": 1.1}, {"gamma": -0.1}, {"beta": -1.0}])
def test_impossible_parameters_are_refused_at_once(options):
    """They would give scores outside 0 to 1."""
    with pytest.raises(MetricError, match="alpha=") as refusal:
        METEOR(**options)
    assert "between 0 and 1" in refusal.value.remedy
