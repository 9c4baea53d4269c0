"""Judges of the user's own making: assertions, checklists, rubrics, templates, trees."""

from __future__ import annotations

import pickle
from enum import Enum

import pytest
from judge_models import text_of
from pydantic import BaseModel

from opik_eval import evaluate
from opik_eval.errors import BudgetExceededError, JudgeError, MetricError
from opik_eval.judges import (
    ChecklistJudge,
    Choose,
    Decide,
    DecisionTreeJudge,
    Extract,
    Leaf,
    LLMJudge,
    RubricJudge,
    TemplateJudge,
    Verdict,
)
from opik_eval.models.budget import Budget
from opik_eval.models.context import use_models


def asserted(*answers):
    return {
        f"answer_{number}": {"reason": f"r{number}", "score": holds, "confidence": 0.9}
        for number, holds in enumerate(answers, start=1)
    }


def test_all_assertions_of_an_item_go_into_one_call(scripted):
    """One score for each, in order, without repetitions; the cost is with the first."""
    model = scripted(asserted(True, False, True))
    judge = LLMJudge(["It is polite.", "It is short.", "It is polite."], model=model)
    scores = judge.score(input="i", output="o", assertions=["It names a price."])
    assert [(score.name, score.value) for score in scores] == [
        ("It is polite.", 1.0),
        ("It is short.", 0.0),
        ("It names a price.", 1.0),
    ]
    assert {score.category_name for score in scores} == {"suite_assertion"}
    assert [score.metadata["model_calls"] for score in scores] == [1, 0, 0]
    assert scores[1].metadata["confidence"] == 0.9
    assert len(model.transport.requests) == 1
    assert model.transport.requests[0].params["reasoning_effort"] == "low"


def test_a_failed_call_fails_every_assertion(scripted):
    """None of them is lost, and none passes."""
    scores = LLMJudge(["a", "b"], model=scripted("?", "?")).score(output="o")
    assert [(score.name, score.value, score.scoring_failed) for score in scores] == [
        ("a", None, True),
        ("b", None, True),
    ]
    assert scores[0].metadata["reply"] == "?"


def test_a_reply_that_forgets_an_assertion_is_repaired(scripted):
    """Every assertion has a field of its own, so a missing one is noticed."""
    scores = LLMJudge(["a", "b"], model=scripted(asserted(True), asserted(True, True))).score(
        output="o"
    )
    assert [score.value for score in scores] == [1.0, 1.0]


def test_without_assertions_there_is_nothing_to_judge():
    """An empty list is a mistake of the set-up, not a pass."""
    with pytest.raises(MetricError, match="no assertions"):
        LLMJudge(model="fake/echo").score(output="o")


def test_an_exceeded_budget_is_not_a_failed_assertion(scripted):
    """The run must see it."""
    judge = LLMJudge(["a"], model=scripted(asserted(True)))
    with use_models(budget=Budget(max_requests=0)), pytest.raises(BudgetExceededError):
        judge.score(output="o")


def test_assertions_can_come_with_the_items(storage, answering):
    """A column of the dataset holds them, next to those of all items."""

    def reply(prompt):
        return asserted(*[True] * (2 if "special" in prompt else 1))

    items = [{"input": "a", "assertions": ["special"]}, {"input": "b", "assertions": []}]
    result = evaluate(
        items,
        lambda item: {"output": "o"},
        [LLMJudge(["general"], model=answering(reply))],
        storage=storage,
        verbose=0,
    )
    names = [[score.name for score in item.score_results] for item in result.test_results]
    assert names == [["general", "special"], ["general"]]


def checked(*answers):
    return {
        f"answer_{number}": {"reason": "r", "answer": answer}
        for number, answer in enumerate(answers, start=1)
    }


def test_a_checklist_counts_what_applies(scripted):
    """Yes over all that applies; weights count; nothing that applies is no score."""
    questions = ["a?", "b?", "c?"]
    reply = checked("yes", "no", "not applicable")
    score = ChecklistJudge(questions, model=scripted(reply)).score(output="o")
    assert score.value == 0.5
    assert score.reason == "no: b? (r)"
    assert score.metadata["answers"] == {"a?": "yes", "b?": "no", "c?": "not applicable"}
    weighted = ChecklistJudge({"a?": 3, "b?": 1}, model=scripted(checked("yes", "no")))
    assert weighted.score(output="o").value == 0.75
    none = ChecklistJudge(["a?"], model=scripted(checked("not applicable"))).score(output="o")
    assert (none.value, none.reason) == (None, "no question applies")
    good = ChecklistJudge(["a?"], model=scripted(checked("yes"))).score(output="o")
    assert (good.value, good.reason) == (1.0, "yes to all 1 questions that apply")


@pytest.mark.parametrize("questions", [[], {"a?": 0}])
def test_a_checklist_needs_questions_that_count(questions):
    """No questions or a weight of nothing are refused."""
    with pytest.raises(MetricError, match="positive weights"):
        ChecklistJudge(questions)


def test_a_rubric_gives_the_number_of_a_level(scripted):
    """Levels are shown in order; a number between them is asked for again."""
    judge = RubricJudge(
        "Depth.", {5: "deep", 1: "flat"}, model=scripted({"reason": "r", "score": 5})
    )
    score = judge.score(output="o", input="i")
    assert (score.value, score.reason, judge.value_range) == (5.0, "r", (1.0, 5.0))
    [request] = judge.model.transport.requests
    assert "1: flat\n5: deep" in text_of(request)
    between = scripted({"reason": "r", "score": 3}, {"reason": "r", "score": 3})
    with pytest.raises(JudgeError, match="does not fit"):
        RubricJudge("Depth.", {5: "deep", 1: "flat"}, model=between).score(output="o")
    with pytest.raises(MetricError, match="has 1 levels"):
        RubricJudge("Depth.", {1: "flat"})


def test_a_template_makes_a_judge_in_five_lines(scripted, storage):
    """Its placeholders are what the engine supplies."""
    judge = TemplateJudge(
        "<!-- system -->\nYou judge tone.\n<!-- user -->\n{{ output }} for {{ audience }}",
        name="tone",
        model=scripted({"reason": "r", "score": 0.25}),
    )
    assert judge.score_arguments().required == ("output", "audience")
    items = [{"input": "a", "audience": "children"}]
    result = evaluate(items, lambda item: {"output": "hi"}, [judge], storage=storage, verbose=0)
    [score] = result.test_results[0].score_results
    assert (score.name, score.value) == ("tone", 0.25)
    [request] = judge.model.transport.requests
    assert request.messages[1]["content"] == "hi for children"
    assert list(score.metadata["prompts"]) == ["tone"]


def test_labels_are_words_with_numbers(scripted):
    """The word is the category; ``None`` as a number is no score; the range holds all numbers."""
    model = scripted(
        {"reason": "r", "label": "great"}, {"reason": "r", "label": "unsure"}, "?", "?"
    )
    judge = TemplateJudge(
        "{{ output }}", labels={"great": 2, "bad": -1, "unsure": None}, model=model
    )
    assert judge.value_range == (-1, 2)
    score = judge.score(output="o")
    assert (score.value, score.category_name, score.reason) == (2, "great", "r")
    unsure = judge.score(output="o")
    assert (unsure.value, unsure.category_name, unsure.scoring_failed) == (None, "unsure", False)
    with pytest.raises(JudgeError):
        judge.score(output="o")


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Moods(BaseModel):
    moods: list[Mood]


def share_of_good(reply):
    return sum(mood is Mood.GOOD for mood in reply.moods) / len(reply.moods)


def test_an_answer_class_needs_a_rule(scripted):
    """A rule gives a number, or a whole verdict; a judge with a named rule can be pickled."""
    reply = {"moods": ["good", "bad"]}
    judge = TemplateJudge(
        "{{ output }}", answer=Moods, rule=share_of_good, model=scripted(reply, reply)
    )
    score = judge.score(output="o")
    assert (score.value, score.metadata["answer"]) == (0.5, reply)
    assert pickle.loads(pickle.dumps(judge)).score(output="o").value == 0.5
    whole = TemplateJudge(
        "{{ output }}",
        answer=Moods,
        rule=lambda reply: Verdict(value=None, reason="who knows"),
        model=scripted(reply),
    )
    assert whole.score(output="o").reason == "who knows"
    nothing = TemplateJudge(
        "{{ output }}", answer=Moods, rule=lambda reply: None, model=scripted(reply)
    )
    assert nothing.score(output="o").value is None
    with pytest.raises(JudgeError, match="no rule"):
        TemplateJudge("{{ output }}", answer=Moods, model=scripted(reply)).score(output="o")


def test_optional_placeholders_may_be_missing(scripted):
    """They are ``None`` then; the others must be there."""
    text = "{{ output }}{% if hint is not none %} hint {{ hint }}{% endif %}"
    judge = TemplateJudge(
        text, optional=["hint"], model=scripted({"reason": "", "score": 1}), higher_is_better=None
    )
    assert judge.score_arguments().optional == ("hint",)
    assert judge.score(output="o").value == 1.0
    assert judge.model.transport.requests[0].messages[0]["content"] == "o"
    with pytest.raises(MetricError, match="needs 'output'"):
        judge.score(hint="h")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"template": "Is it good?"}, "no placeholders"),
        ({"template": "{{ o }}", "labels": {"a": 1}, "answer": Moods}, "both labels and"),
    ],
)
def test_templates_that_make_no_judge_are_refused(options, problem):
    """Nothing to look at, or two kinds of answer."""
    with pytest.raises(MetricError, match=problem):
        TemplateJudge(**options)


GOOD, BAD = Leaf(1.0, "good"), Leaf(0.0, "bad")
PRICED = Decide("Is the price right?", yes=GOOD, no=BAD)
TREE = Extract(
    {"price": "The price that is named.", "tone": "The tone."},
    then=Choose(
        "What kind of answer is it?", {"offer": PRICED, "question": GOOD, "other": Leaf(None)}
    ),
)


def noted(*texts):
    return {f"answer_{n}": {"text": text} for n, text in enumerate(texts, start=1)}


def answered(answer):
    return {"reason": "r", "answer": answer}


@pytest.mark.parametrize(
    ("answers", "value", "label"),
    [
        (["offer", "yes"], 1.0, "good"),
        (["offer", "no"], 0.0, "bad"),
        (["question"], 1.0, "good"),
        (["other"], None, None),
    ],
)
def test_a_tree_leads_to_a_leaf(scripted, answers, value, label):
    """One call for each question on the way; path and notes are kept."""
    model = scripted(noted("5 euros", "kind"), *map(answered, answers))
    score = DecisionTreeJudge(TREE, model=model).score(output="It is 5 euros.")
    assert (score.value, score.category_name) == (value, label)
    assert [step["answer"] for step in score.metadata["path"]] == answers
    assert score.metadata["notes"] == {"price": "5 euros", "tone": "kind"}
    assert score.metadata["model_calls"] == 1 + len(answers)
    last = text_of(model.transport.requests[-1])
    assert "price: 5 euros\ntone: kind" in last
    assert "- offer" in text_of(model.transport.requests[1])


def test_a_tree_has_the_range_of_its_leaves():
    """Shared nodes are fine; a tree can be compared and pickled."""
    judge = DecisionTreeJudge(Decide("?", yes=Leaf(3.0), no=PRICED), model="fake/echo")
    assert judge.value_range == (0.0, 3.0)
    assert pickle.loads(pickle.dumps(judge)) == judge
    assert DecisionTreeJudge(TREE).value_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        (Leaf(None), "no leaf"),
        (Choose("?", {"only": GOOD}), "leads nowhere"),
        (Extract({}, then=GOOD), "leads nowhere"),
    ],
)
def test_trees_that_lead_nowhere_are_refused(root, problem):
    """When the judge is made, not in the middle of a run."""
    with pytest.raises(MetricError, match=problem):
        DecisionTreeJudge(root)
