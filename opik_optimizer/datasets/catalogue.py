"""The benchmark data sets, each with the splits that it really has.

Names, sources and sizes are those of Opik's loaders; docs/optimizer_datasets.md says what differs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Unpack

from opik_eval.datasets.dataset import Dataset
from opik_optimizer.datasets.benchmark import Benchmark, Hub, Part
from opik_optimizer.datasets.options import LoadKeywords
from opik_optimizer.datasets.rows import (
    hallucination,
    instruction,
    puzzles,
    road_scene,
    tiny_question,
    truthful,
)

_SPLITS = ("train", "validation", "test")


def _own_splits(count: int) -> dict[str, Part]:
    """Return parts for a source that has a split of each name."""
    return {name: Part(name, 0, count) for name in _SPLITS}


def _one_after_the_other(source: str, *counts: int) -> dict[str, Part]:
    """Return parts that divide one split of the source."""
    starts = [0, *accumulate(counts)]
    return {
        name: Part(source, start, count)
        for name, start, count in zip(_SPLITS, starts, counts, strict=False)
    }


def _validation_from_train(train: int, validation: int, test: Part) -> dict[str, Part]:
    """Return parts for a source without answers in its test split, or without validation."""
    return {
        "train": Part("train", 0, train),
        "validation": Part("train", train, validation),
        "test": test,
    }


ai2_arc = Benchmark(
    name="ai2_arc",
    hub=Hub(repository="allenai/ai2_arc", config="ARC-Challenge"),
    parts=_own_splits(150),
    about="A multiple-choice question of school science: question, choices, answerKey.",
)

arc_agi2 = Benchmark(
    name="arc_agi2",
    hub=Hub(repository="vincentkoc/arc-agi-2"),
    parts=_validation_from_train(200, 120, Part("evaluation", 0, 120)),
    about="A puzzle of coloured grids: examples, test_inputs, test_outputs, and all as text.",
    convert=puzzles,
)

cnn_dailymail = Benchmark(
    name="cnn_dailymail",
    hub=Hub(repository="abisee/cnn_dailymail", config="3.0.0"),
    parts=_own_splits(150),
    about="A news article to summarise: article, highlights.",
)

context7_eval = Benchmark(
    name="context7_eval",
    hub=None,
    parts={"train": Part("train", 0, 5)},
    about="A question that a documentation tool answers: user_query, expected_tool, arguments, "
    "reference_answer.",
)

_driving_hazard = Benchmark(
    name="driving_hazard",
    hub=Hub(repository="DHPR/Driving-Hazard-Prediction-and-Reasoning"),
    parts=_validation_from_train(50, 50, Part("test", 0, 50)),
    about="A picture from a car and what may happen next: question, image, hazard.",
)


def driving_hazard(
    *,
    max_image_size: tuple[int, int] | None = (512, 384),
    image_quality: int = 60,
    **options: Unpack[LoadKeywords],
) -> Dataset:
    """Load pictures from cars, each with a question and what may happen next.

    Args:
        max_image_size: Largest width and height in pixels; ``None`` = as they are.
        image_quality: Of the JPEG, 1 to 100.
        **options: See ``LoadOptions``.

    Raises:
        DatasetError: See ``Benchmark``.
    """
    scene = partial(road_scene, max_image_size=max_image_size, image_quality=image_quality)
    return replace(_driving_hazard, convert=partial(map, scene))(**options)


election_questions = Benchmark(
    name="election_questions",
    hub=Hub(repository="Anthropic/election_questions"),
    parts=_one_after_the_other("test", 150, 150, 150),
    about="A question about elections, harmless or not: question, label.",
)

gsm8k = Benchmark(
    name="gsm8k",
    hub=Hub(repository="openai/gsm8k", config="main"),
    parts=_validation_from_train(150, 150, Part("test", 0, 150)),
    about="A problem of grade-school mathematics: question, answer (the result after ####).",
)

halu_eval = Benchmark(
    name="halu_eval",
    hub=Hub(repository="pminervini/HaluEval", config="general"),
    parts=_one_after_the_other("data", 150, 150, 150),
    about="A reply that may be made up: input, llm_output, expected_hallucination_label.",
    convert=partial(map, hallucination),
)

hotpot = Benchmark(
    name="hotpot",
    hub=Hub(repository="hotpotqa/hotpot_qa", config="fullwiki"),
    parts=_validation_from_train(150, 300, Part("validation", 0, 300)),
    about="A question whose answer takes two articles: question, answer, context, "
    "supporting_facts.",
)

hover = Benchmark(
    name="hover",
    hub=Hub(repository="vincentkoc/hover-parquet"),
    parts=_validation_from_train(150, 300, Part("validation", 0, 300)),
    about="A claim that several articles support or do not: claim, label, supporting_facts.",
)

ifbench = Benchmark(
    name="ifbench",
    hub=Hub(repository="allenai/IF_multi_constraints_upto5"),
    parts=_validation_from_train(
        150, 300, Part("train", 0, 294, hub=Hub(repository="allenai/IFBench_test"))
    ),
    about="An instruction with constraints that can be checked: prompt.",
    convert=partial(map, instruction),
)

medhallu = Benchmark(
    name="medhallu",
    hub=Hub(repository="UTAustin-AIHealth/MedHallu", config="pqa_labeled"),
    parts=_one_after_the_other("train", 150, 150, 150),
    about="A medical question with a true and a made-up answer: Question, Knowledge, Ground Truth.",
)

pupa = Benchmark(
    name="pupa",
    hub=Hub(repository="Columbia-NLP/PUPA", config="pupa_new"),
    parts=_one_after_the_other("train", 111, 111, 221),
    about="A request with private details: user_query, target_response, pii_units.",
)

rag_hallucinations = Benchmark(
    name="rag_hallucinations",
    hub=Hub(repository="aporia-ai/rag_hallucinations"),
    parts=_one_after_the_other("train", 150, 150, 150),
    about="An answer that its context supports or not: context, question, answer, "
    "is_hallucination.",
)

ragbench_sentence_relevance = Benchmark(
    name="ragbench_sentence_relevance",
    hub=Hub(repository="wandb/ragbench-sentence-relevance-balanced"),
    parts=_own_splits(150),
    about="A sentence that helps with a question or not: question, sentence, label.",
)

tiny_test = Benchmark(
    name="tiny_test",
    hub=None,
    parts=_one_after_the_other("train", 5, 5, 5),
    about="A plain question of general knowledge: text, label, metadata.context.",
    convert=partial(map, tiny_question),
)

truthful_qa = Benchmark(
    name="truthful_qa",
    hub=Hub(repository="truthfulqa/truthful_qa", config="generation"),
    parts=_one_after_the_other("validation", 150, 150, 150),
    about="A question that people often answer wrongly: question, answer, choices, "
    "correct_answers, incorrect_answers.",
    convert=partial(map, truthful),
)
