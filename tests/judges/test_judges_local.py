"""Judges on the embedded model: how often a small model answers in a form that can be used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opik_eval import evaluate
from opik_eval.judges import (
    ChecklistJudge,
    Hallucination,
    StructuredOutputCompliance,
    TemplateJudge,
)
from opik_eval.models import local

MODEL = local.EMBEDDED_MODEL
reason = local.unavailable_reason()
pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(reason is not None, reason=reason or ""),
]
QUESTIONS = [
    ("What is the capital of {}?", ["France", "Italy", "Japan", "Kenya", "Peru"]),
    ("How do you say hello in {}?", ["Spanish", "Dutch", "Finnish", "Greek", "Welsh"]),
    ("Who wrote {}?", ["Dune", "Emma", "Ulysses", "Faust", "The Trial"]),
    ("What colour is {}?", ["the sky", "grass", "a lemon", "coal", "snow"]),
]
ANSWERS = ["I do not know.", "Paris", '{"answer": "blue"}', 'It is said "hola", friend.', "42"]


def items(count: int) -> list[dict[str, object]]:
    asked = [text.format(word) for text, words in QUESTIONS for word in words]
    return [
        {"input": f"{asked[n % len(asked)]}", "answer": f"{ANSWERS[(n * 7) % len(ANSWERS)]} ({n})"}
        for n in range(count)
    ]


def share_that_parse(storage, judge, count: int) -> float:
    result = evaluate(
        items(count), lambda item: {"output": item["answer"]}, [judge], storage=storage, verbose=0
    )
    scores = [score for test in result.test_results for score in test.score_results]
    assert len(scores) == count
    assert all(score.metadata["prompts"] for score in scores)
    return sum(not score.scoring_failed for score in scores) / count


@pytest.fixture(scope="module", autouse=True)
def stop() -> Iterator[None]:
    yield
    local.stop()


def test_nearly_all_replies_of_a_yes_or_no_judge_can_be_read(storage):
    """At least 95 % of 40 replies parse; those that do not are failed scores, not zeros."""
    judge = StructuredOutputCompliance(MODEL, temperature=0.0, seed=1)
    assert share_that_parse(storage, judge, 40) >= 0.95


def test_judges_of_other_forms_work_too(storage):
    """Labels, a checklist and a grade from 0 to 1, a few items each."""
    for judge in (
        TemplateJudge(
            "Does this answer the question {{ input }}?\n{{ output }}",
            labels={"yes": 1, "no": 0},
            model=MODEL,
            temperature=0.0,
        ),
        ChecklistJudge(["Is it short?", "Is it polite?"], model=MODEL, temperature=0.0),
        Hallucination(MODEL, temperature=0.0),
    ):
        assert share_that_parse(storage, judge, 4) >= 0.75


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "judge",
    [
        StructuredOutputCompliance(MODEL, temperature=0.0, seed=1),
        TemplateJudge(
            "Question: {{ input }}\nAnswer: {{ output }}\nIs the answer right?",
            labels={"right": 1, "wrong": 0},
            model=MODEL,
            temperature=0.0,
        ),
        Hallucination(MODEL, temperature=0.0, seed=1),
    ],
    ids=lambda judge: judge.name,
)
def test_a_hundred_replies(storage, judge):
    """At least 95 % of 100 replies parse, for two kinds of verdict and a grade."""
    assert share_that_parse(storage, judge, 100) >= 0.95
