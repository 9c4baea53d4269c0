"""Benchmark data sets for optimizers, as Opik has them: from the Hugging Face hub or local files.

A call such as ``gsm8k(split="test")`` gives a dataset in the store, for ``optimize_prompt`` and
``evaluate``; see ``options.LoadOptions`` for the keywords.
"""

from opik_optimizer.datasets.catalogue import (
    ai2_arc,
    arc_agi2,
    cnn_dailymail,
    context7_eval,
    driving_hazard,
    election_questions,
    gsm8k,
    halu_eval,
    hotpot,
    hover,
    ifbench,
    medhallu,
    pupa,
    rag_hallucinations,
    ragbench_sentence_relevance,
    tiny_test,
    truthful_qa,
)

__all__ = [
    "ai2_arc",
    "arc_agi2",
    "cnn_dailymail",
    "context7_eval",
    "driving_hazard",
    "election_questions",
    "gsm8k",
    "halu_eval",
    "hotpot",
    "hover",
    "ifbench",
    "medhallu",
    "pupa",
    "rag_hallucinations",
    "ragbench_sentence_relevance",
    "tiny_test",
    "truthful_qa",
]
