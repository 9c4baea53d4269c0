"""BLEU and GLEU against NLTK and sacrebleu."""

from __future__ import annotations

import math

import pytest
from metrics_text_corpus import ASCII_PAIRS, ODD_PAIRS, PAIRS
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from sacrebleu.metrics import BLEU

from opik_eval.errors import MetricError
from opik_eval.metrics import GLEU, CorpusBLEU, SentenceBLEU

METHODS = [f"method{number}" for number in range(1, 8)]
FILLED = [pair for pair in PAIRS if all(text.split() for text in pair)]


def bleu(output, reference, **options):
    """Return one sentence score."""
    return SentenceBLEU(**options).score(output=output, reference=reference).value


def nltk_bleu(output, references, method, order=4):
    """Return what NLTK says, given the weights that the output is long enough for."""
    tokens = output.lower().split()
    used = min(order, len(tokens))
    return sentence_bleu(
        [reference.lower().split() for reference in references],
        tokens,
        weights=[1 / used] * used,
        smoothing_function=getattr(SmoothingFunction(), method),
    )


@pytest.mark.parametrize("method", [*METHODS[:4], "method5", "method7"])
def test_sentence_bleu_is_nltks(method):
    """For every smoothing, but for NLTK's values above 1, which are capped."""
    compared = 0
    for output, reference in ASCII_PAIRS:
        # Methods 5 and 7 look one length ahead; NLTK always looks at 5, whatever the order.
        if method in ("method5", "method7") and len(output.split()) < 4:
            continue
        expected = min(1.0, nltk_bleu(output, [reference], method))
        assert bleu(output, reference, smoothing_method=method) == pytest.approx(expected, abs=1e-9)
        compared += 1
    assert compared > 100


def test_method_6_is_nltks_where_nltk_can_compute_it():
    """NLTK asserts that some trigram matches."""
    compared = 0
    for output, reference in ASCII_PAIRS:
        try:
            expected = min(1.0, nltk_bleu(output, [reference], "method6"))
        except (AssertionError, IndexError):
            continue
        value = bleu(output, reference, smoothing_method="method6")
        assert value == pytest.approx(expected, abs=1e-9)
        compared += 1
    assert compared > 50


def test_without_smoothing_a_missing_length_makes_the_score_0():
    """NLTK returns about 1e-231 and warns; where all lengths match, the values are the same."""
    compared = 0
    for output, reference in ASCII_PAIRS:
        value = bleu(output, reference, smoothing_method="method0")
        if value:
            expected = nltk_bleu(output, [reference], "method0")
            assert value == pytest.approx(expected, abs=1e-9)
            compared += 1
    assert compared > 50
    assert bleu("a b c d", "a b c e", smoothing_method="method0") == 0


def test_sentence_bleu_is_sacrebleus_under_its_names_for_smoothing():
    """method1 = floor(0.1), method2 = add-k, method3 = exp; sacrebleu's effective order."""
    for method, name, amount in [
        ("method0", "none", None),
        ("method1", "floor", 0.1),
        ("method2", "add-k", 1),
        ("method3", "exp", None),
    ]:
        oracle = BLEU(tokenize="13a", smooth_method=name, smooth_value=amount, effective_order=True)
        for output, reference in ASCII_PAIRS:
            expected = oracle.sentence_score(output, [reference])
            if name == "add-k" and expected.sys_len < 4:
                continue  # sacrebleu adds to lengths that the output does not have
            value = bleu(output, reference, smoothing_method=method, tokenizer="13a")
            assert value == pytest.approx(expected.score / 100, abs=1e-9)


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "zh", "char"])
def test_corpus_bleu_is_sacrebleus(tokenizer):
    """On the whole corpus, with each of its tokenizers."""
    outputs, references = map(list, zip(*FILLED, strict=True))
    oracle = BLEU(tokenize=tokenizer, smooth_method="exp")
    expected = oracle.corpus_score(outputs, [references]).score / 100
    metric = CorpusBLEU(smoothing_method="method3", tokenizer=tokenizer)
    assert metric.score(output=outputs, reference=references).value == pytest.approx(
        expected,
        abs=1e-3,  # sacrebleu keeps decomposed letters
    )


def test_corpus_bleu_is_nltks_where_all_texts_are_long_enough():
    """Shorter texts count against it in NLTK, and have no such runs in sacrebleu and here."""
    pairs = [pair for pair in ASCII_PAIRS if len(pair[0].split()) >= 4]
    outputs, references = map(list, zip(*pairs, strict=True))
    for method in ("method1", "method2", "method3", "method4"):
        expected = corpus_bleu(
            [[text.lower().split()] for text in references],
            [text.lower().split() for text in outputs],
            smoothing_function=getattr(SmoothingFunction(), method),
        )
        metric = CorpusBLEU(smoothing_method=method)
        assert metric.score(output=outputs, reference=references).value == pytest.approx(expected)
    assert CorpusBLEU().score(["a b c d e", "yes"], ["a b c d e", "yes"]).value == 1.0


def test_the_reference_closest_in_length_decides_on_brevity():
    """With several references, runs of all of them match."""
    output = "the cat sat on the mat today"
    references = ["a cat sat on the mat", "the cat was on the mat for the whole day"]
    assert bleu(output, references) == pytest.approx(nltk_bleu(output, references, "method1"))
    assert bleu("a b", ["a b c", "a b c d e"]) == pytest.approx(math.exp(1 - 3 / 2))


def test_lengths_can_be_weighted():
    """Weights for lengths the output does not have are left out, and the others rescaled."""
    weights = [0.7, 0.2, 0.1]
    output, reference = "the cat sat on a mat", "the cat sat on the mat"
    expected = sentence_bleu(
        [reference.split()],
        output.split(),
        weights=weights,
        smoothing_function=SmoothingFunction().method1,
    )
    assert bleu(output, reference, n_grams=3, weights=weights) == pytest.approx(expected)
    assert bleu("a b", "a b", n_grams=3, weights=weights) == 1.0
    assert bleu("a", "a b", n_grams=2, weights=[0, 1]) == pytest.approx(math.exp(-1))


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("hello", "hello", 1.0),
        ("the cat", "The Cat", 1.0),
        ("a b c d e f", "a b x y z w", 0.1353),
        ("cat", "dog", 0.0),
        ("東京 タワー", "東京 タワー", 1.0),
        *((one, other, 1.0 if one.split() == other.split() else 0.0) for one, other in ODD_PAIRS),
    ],
)
def test_golden_sentence_scores(output, reference, expected):
    """These values do not change with the versions of anything."""
    value = bleu(output, reference)
    assert value == pytest.approx(expected, abs=5e-5) or value == pytest.approx(0.0863, abs=5e-5)


def test_a_corpus_without_words_equals_itself_only():
    """Nothing to compare on either side is equal; on one side it is not."""
    metric = CorpusBLEU()
    assert metric.score(output=["", " "], reference=["", ["", "a"]]).value == 1.0
    assert metric.score(output=["", ""], reference=["", "a"]).value == 0.0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"n_grams": 0}, "n_grams=0"),
        ({"n_grams": True}, "n_grams=True"),
        ({"n_grams": "x"}, "n_grams='x'"),
        ({"smoothing_method": "method9"}, "smoothing_method='method9'"),
        ({"tokenizer": "spacy"}, "tokenizer='spacy'"),
        ({"weights": [1.0]}, "weights"),
        ({"weights": [0.5, 0.5, 0.5, 0.5]}, "weights"),
        ({"weights": [2.0, -1.0, 0.0, 0.0]}, "weights"),
    ],
)
def test_impossible_options_are_refused_at_once(options, named):
    """The error names the option and says what is possible."""
    for kind in (SentenceBLEU, CorpusBLEU):
        with pytest.raises(MetricError, match=named) as refusal:
            kind(**options)
        assert refusal.value.remedy


def test_a_function_can_cut_the_text():
    """For scripts without spaces, or for a tokenizer of one's own."""
    assert bleu("東京", "東京都", tokenizer=list) == pytest.approx(math.exp(-0.5))


def test_outputs_and_references_of_a_corpus_go_in_pairs():
    """Another number of references is an error; a text alone stands for a list of one."""
    with pytest.raises(MetricError, match="2 texts as 'output' but 1 as 'reference'"):
        CorpusBLEU().score(output=["a", "b"], reference=["a"])
    assert CorpusBLEU().score(output="a b", reference="a b").value == 1.0


def test_gleu_is_nltks():
    """On all texts that have words."""
    for output, reference in [*FILLED, *ASCII_PAIRS]:
        if any(not text.isascii() for text in (output, reference)):
            continue
        for sizes in ((1, 4), (2, 3)):
            metric = GLEU(min_len=sizes[0], max_len=sizes[1])
            expected = sentence_gleu([reference.split()], output.split(), *sizes)
            if output.split() == reference.split():
                expected = 1.0  # NLTK gives 0 to equal texts too short for a run
            assert metric.score(output=output, reference=reference).value == pytest.approx(expected)


def test_gleu_tells_case_and_takes_a_function():
    """As in Opik."""
    assert GLEU().score(output="the cat", reference="The Cat").value == 0.0

    def given(references, words):
        return float(references == [["a"], ["b", "c"]] and words == ["x", "y"])

    assert GLEU(given).score(output="x y", reference=["a", "b c"]).value == 1.0
    for sizes in ((0, 4), (3, 2)):
        with pytest.raises(MetricError, match="min_len"):
            GLEU(min_len=sizes[0], max_len=sizes[1])
