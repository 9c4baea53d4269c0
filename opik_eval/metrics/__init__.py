"""Metrics: ready-made ones, and the base of your own.

Names are resolved on first use, so that importing this package loads none of the metrics. To add a
metric, name its module in ``_HOME`` (and in the block for type checkers above it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.metrics.base import BaseMetric, ScoreResult
    from opik_eval.metrics.bertscore import BERTScore
    from opik_eval.metrics.bleu import GLEU, CorpusBLEU, SentenceBLEU
    from opik_eval.metrics.chrf import ChrF
    from opik_eval.metrics.classification import Classification
    from opik_eval.metrics.code_execution import CodeExecution
    from opik_eval.metrics.code_runner import CodeRunner, SubprocessRunner
    from opik_eval.metrics.combine import AggregatedMetric
    from opik_eval.metrics.conversation import (
        ConversationDegenerationMetric,
        KnowledgeRetentionMetric,
    )
    from opik_eval.metrics.distribution import JSDistance, JSDivergence, KLDivergence
    from opik_eval.metrics.embedding import EmbeddingSimilarity
    from opik_eval.metrics.exact import Contains, Equals, ExactMatch, RegexMatch
    from opik_eval.metrics.function import FunctionMetric, as_metric
    from opik_eval.metrics.language import LanguageAdherenceMetric
    from opik_eval.metrics.logic import all_of, any_of, not_, passes, weighted
    from opik_eval.metrics.meteor import METEOR
    from opik_eval.metrics.numeric import NumericMatch
    from opik_eval.metrics.overlap import TokenF1
    from opik_eval.metrics.ragas_wrapper import RagasMetricWrapper
    from opik_eval.metrics.ranking import SpearmanRanking
    from opik_eval.metrics.readability import Readability
    from opik_eval.metrics.registry import get_metric, list_metrics
    from opik_eval.metrics.resource import Cost, Latency, OutputLength, TokenUsage
    from opik_eval.metrics.retrieval import (
        NDCG,
        AveragePrecision,
        PrecisionAtK,
        RecallAtK,
        ReciprocalRank,
    )
    from opik_eval.metrics.rouge import ROUGE
    from opik_eval.metrics.safety import PromptInjection
    from opik_eval.metrics.sentiment import Sentiment, VADERSentiment
    from opik_eval.metrics.structure import IsJson, JsonSchema
    from opik_eval.metrics.structure_match import JsonDiff, JsonFieldMatch
    from opik_eval.metrics.text_distance import LevenshteinRatio
    from opik_eval.metrics.tone import Tone
    from opik_eval.metrics.trajectory import ToolCallCorrectness, TrajectoryMatch
    from opik_eval.metrics.wordnet import WordNet

_HOME = {
    "BaseMetric": "base",
    "ScoreResult": "base",
    "AggregatedMetric": "combine",
    "AveragePrecision": "retrieval",
    "BERTScore": "bertscore",
    "ChrF": "chrf",
    "Classification": "classification",
    "CodeExecution": "code_execution",
    "CodeRunner": "code_runner",
    "Contains": "exact",
    "ConversationDegenerationMetric": "conversation",
    "CorpusBLEU": "bleu",
    "Cost": "resource",
    "EmbeddingSimilarity": "embedding",
    "Equals": "exact",
    "ExactMatch": "exact",
    "FunctionMetric": "function",
    "GLEU": "bleu",
    "IsJson": "structure",
    "JSDistance": "distribution",
    "JSDivergence": "distribution",
    "JsonDiff": "structure_match",
    "JsonFieldMatch": "structure_match",
    "JsonSchema": "structure",
    "KLDivergence": "distribution",
    "KnowledgeRetentionMetric": "conversation",
    "LanguageAdherenceMetric": "language",
    "Latency": "resource",
    "LevenshteinRatio": "text_distance",
    "METEOR": "meteor",
    "NDCG": "retrieval",
    "NumericMatch": "numeric",
    "OutputLength": "resource",
    "PrecisionAtK": "retrieval",
    "PromptInjection": "safety",
    "ROUGE": "rouge",
    "RagasMetricWrapper": "ragas_wrapper",
    "Readability": "readability",
    "RecallAtK": "retrieval",
    "ReciprocalRank": "retrieval",
    "RegexMatch": "exact",
    "SentenceBLEU": "bleu",
    "Sentiment": "sentiment",
    "SpearmanRanking": "ranking",
    "SubprocessRunner": "code_runner",
    "TokenF1": "overlap",
    "TokenUsage": "resource",
    "Tone": "tone",
    "ToolCallCorrectness": "trajectory",
    "TrajectoryMatch": "trajectory",
    "VADERSentiment": "sentiment",
    "WordNet": "wordnet",
    "all_of": "logic",
    "any_of": "logic",
    "as_metric": "function",
    "get_metric": "registry",
    "list_metrics": "registry",
    "not_": "logic",
    "passes": "logic",
    "weighted": "logic",
}

__getattr__, __dir__ = lazily(__name__, _HOME)


__all__ = [
    "GLEU",
    "METEOR",
    "NDCG",
    "ROUGE",
    "AggregatedMetric",
    "AveragePrecision",
    "BERTScore",
    "BaseMetric",
    "ChrF",
    "Classification",
    "CodeExecution",
    "CodeRunner",
    "Contains",
    "ConversationDegenerationMetric",
    "CorpusBLEU",
    "Cost",
    "EmbeddingSimilarity",
    "Equals",
    "ExactMatch",
    "FunctionMetric",
    "IsJson",
    "JSDistance",
    "JSDivergence",
    "JsonDiff",
    "JsonFieldMatch",
    "JsonSchema",
    "KLDivergence",
    "KnowledgeRetentionMetric",
    "LanguageAdherenceMetric",
    "Latency",
    "LevenshteinRatio",
    "NumericMatch",
    "OutputLength",
    "PrecisionAtK",
    "PromptInjection",
    "RagasMetricWrapper",
    "Readability",
    "RecallAtK",
    "ReciprocalRank",
    "RegexMatch",
    "ScoreResult",
    "SentenceBLEU",
    "Sentiment",
    "SpearmanRanking",
    "SubprocessRunner",
    "TokenF1",
    "TokenUsage",
    "Tone",
    "ToolCallCorrectness",
    "TrajectoryMatch",
    "VADERSentiment",
    "WordNet",
    "all_of",
    "any_of",
    "as_metric",
    "get_metric",
    "list_metrics",
    "not_",
    "passes",
    "weighted",
]
