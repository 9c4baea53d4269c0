"""Every deterministic metric of texts passes the battery."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from opik_eval.metrics import (
    GLEU,
    METEOR,
    ROUGE,
    AggregatedMetric,
    BERTScore,
    ChrF,
    Contains,
    ConversationDegenerationMetric,
    CorpusBLEU,
    Equals,
    JSDistance,
    JSDivergence,
    KLDivergence,
    KnowledgeRetentionMetric,
    LanguageAdherenceMetric,
    PromptInjection,
    RagasMetricWrapper,
    Readability,
    SentenceBLEU,
    Sentiment,
    SpearmanRanking,
    Tone,
    VADERSentiment,
)
from opik_eval.testing.metric_contract import MetricCase, MetricContract

PAIR = {"output": "the cat sat", "reference": "The cat is down"}
SAME = {"output": "caf\u00e9", "reference": "cafe\u0301"}
TEXTS = ("output", "reference")
WRONG = {"output": 3, "reference": ["a", 3]}
CHAT = [
    {"role": "user", "content": "My router is a Netgear."},
    {"role": "assistant", "content": [{"type": "text", "text": "Fine."}]},
    {"role": "assistant", "content": None},
]
FINE = [
    {"role": "user", "content": "My router is a Netgear."},
    {"role": "assistant", "content": "Restart your Netgear router now."},
]
CHAT_WRONG = {"conversation": [{"role": "user", "content": 3}]}


def constant_scores(outputs, references):
    """Stand for bert_score.score."""
    return [0.5], [0.5], [0.5]


def lowest(scores):
    """Combine scores by the lowest."""
    return min(score.value for score in scores)


@dataclass(frozen=True)
class ResponseLength:
    """A metric with the interface of ragas.metrics.collections."""

    name: str = "response_length"

    async def ascore(self, response, limit=100):
        if not isinstance(response, str):
            raise TypeError(response)
        return min(1.0, len(response) / limit)


def against_reference(make, name, *, symmetric=False):
    """Return the case of a metric of output and reference."""
    return MetricCase(make, PAIR, name, SAME, TEXTS if symmetric else None, TEXTS, WRONG)


def of_output(make, name, arguments, perfect=None, texts=("output",)):
    """Return the case of a metric of the output alone."""
    return MetricCase(make, arguments, name, perfect, None, texts, {"output": 3})


CASES = [
    against_reference(SentenceBLEU, "sentence_bleu_metric"),
    against_reference(lambda: SentenceBLEU(tokenizer="zh"), "sentence_bleu_metric"),
    MetricCase(
        CorpusBLEU,
        {"output": ["a b", "c"], "reference": ["a", ["c", "d"]]},
        "corpus_bleu_metric",
        {"output": ["a b", "c"], "reference": ["a b", ["c", "d"]]},
        None,
        (),
        {"output": [3], "reference": ["a", [3]]},
    ),
    against_reference(GLEU, "gleu_metric", symmetric=True),
    against_reference(METEOR, "meteor_metric"),
    against_reference(ChrF, "chrf_metric"),
    against_reference(lambda: ChrF(word_order=2, beta=1.0), "chrf_metric", symmetric=True),
    against_reference(ROUGE, "rouge_metric", symmetric=True),
    against_reference(lambda: ROUGE("rouge2", use_stemmer=True), "rouge_metric", symmetric=True),
    against_reference(lambda: ROUGE("rougeL"), "rouge_metric", symmetric=True),
    against_reference(lambda: ROUGE("rougeLsum", split_summaries=True), "rouge_metric"),
    against_reference(lambda: BERTScore(constant_scores), "bertscore_metric"),
    against_reference(JSDivergence, "js_divergence_metric", symmetric=True),
    against_reference(JSDistance, "js_distance_metric", symmetric=True),
    against_reference(KLDivergence, "kl_divergence_metric"),
    against_reference(
        lambda: KLDivergence(direction="avg"), "kl_divergence_metric", symmetric=True
    ),
    MetricCase(
        SpearmanRanking,
        {"output": ["b", "a", "c"], "reference": ["a", "b", "c"]},
        "spearman_ranking_metric",
        {"output": [1, "x", {"a": []}], "reference": [1, "x", {"a": []}]},
        ("output", "reference"),
        (),
        {"output": "abc", "reference": 3},
    ),
    of_output(
        Readability,
        "readability_metric",
        {"output": "A reasonable sentence."},
        {"output": "The cat sat."},
        (),
    ),
    of_output(
        lambda: Readability(max_grade=3.0, enforce_bounds=True),
        "readability_metric",
        {"output": "Incomprehensible considerations."},
        {"output": "The cat sat."},
        (),
    ),
    of_output(Tone, "tone_metric", {"output": "You idiot!"}, {"output": "Thank you!"}),
    of_output(PromptInjection, "prompt_injection", {"output": "jailbreak"}, {"output": "Hi"}),
    of_output(
        lambda: LanguageAdherenceMetric("en"),
        "language_adherence_metric",
        {"output": "Der Hund schläft heute lange."},
        {"output": "This is plainly an English sentence."},
        (),
    ),
    of_output(Sentiment, "sentiment_metric", {"output": "I love this!"}),
    of_output(VADERSentiment, "vader_sentiment_metric", {"output": "I hate this!"}),
    MetricCase(
        ConversationDegenerationMetric,
        {"conversation": CHAT},
        "conversation_degeneration_metric",
        {"conversation": FINE},
        wrong=CHAT_WRONG,
    ),
    MetricCase(
        KnowledgeRetentionMetric,
        {"conversation": CHAT},
        "knowledge_retention_metric",
        {"conversation": FINE},
        wrong=CHAT_WRONG,
    ),
    MetricCase(
        lambda: AggregatedMetric("lowest", [Equals(), Contains()], lowest),
        {"output": "yes sir", "reference": "yes"},
        "lowest",
        texts=("output",),
        wrong={"reference": 3},
    ),
    MetricCase(lambda: RagasMetricWrapper(ResponseLength()), {"output": "x"}, "response_length"),
]


class TestTextMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(params=CASES, ids=str)
    def case(self, request):
        """Return one metric."""
        return request.param
