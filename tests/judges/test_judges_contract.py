"""Every judge passes the battery of all metrics, keeps its account and has Opik's names."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from importlib.resources import files

import pytest
from judge_models import JSON, oblige

from opik_eval import judges
from opik_eval.errors import MetricError
from opik_eval.evaluation import metrics as under_opiks_path
from opik_eval.judges import (
    AnswerRelevance,
    ChecklistJudge,
    Decide,
    DecisionTreeJudge,
    GEval,
    GEvalConversationMetric,
    GEvalPreset,
    Hallucination,
    Judge,
    Leaf,
    LLMJudge,
    LLMJuriesJudge,
    Moderation,
    PairwiseJudge,
    QARelevanceJudge,
    RubricJudge,
    TemplateJudge,
    Usefulness,
)
from opik_eval.metrics.base import BaseMetric, describe, normalise
from opik_eval.metrics.registry import get_metric, list_metrics
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_eval.testing.metric_contract import MetricCase, MetricContract

MODEL = ChatModel(name="fake/obliging", transport=FunctionTransport(oblige, features=JSON))
ANSWER = {"input": "Why is the sky blue?", "output": "Because air scatters blue light more."}
RAG = {**ANSWER, "context": ["Rayleigh scattering"], "expected_output": "Rayleigh scattering"}
CHAT = {
    "conversation": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello, what can I do for you?"},
    ]
}
TREE = Decide("Is it polite?", yes=Leaf(1.0, "polite"), no=Leaf(0.0))

# Class in Opik, its default name there, the arguments of its score, and which end is better.
OPIKS = [
    ("Hallucination", "hallucination_metric", ("input", "output"), False),
    ("AnswerRelevance", "answer_relevance_metric", ("input", "output"), True),
    (
        "ContextPrecision",
        "context_precision_metric",
        ("input", "output", "expected_output", "context"),
        True,
    ),
    (
        "ContextRecall",
        "context_recall_metric",
        ("input", "output", "expected_output", "context"),
        True,
    ),
    ("Moderation", "moderation_metric", ("output",), False),
    ("Usefulness", "UsefulnessMetric", ("input", "output"), True),
    ("StructuredOutputCompliance", "structured_output_compliance", ("output",), True),
    (
        "TrajectoryAccuracy",
        "trajectory_accuracy_metric",
        ("goal", "trajectory", "final_result"),
        True,
    ),
    ("SycEval", "sycophancy_eval_metric", ("input", "output"), False),
    ("Factuality", "FactualityMetric", ("input", "output"), True),
    ("AgentToolCorrectnessJudge", "agent_tool_correctness_judge", ("output",), True),
    ("AgentTaskCompletionJudge", "agent_task_completion_judge", ("output",), True),
    ("ComplianceRiskJudge", "compliance_risk_judge", ("output",), False),
    ("PromptUncertaintyJudge", "prompt_uncertainty_judge", ("output",), False),
    ("DialogueHelpfulnessJudge", "dialogue_helpfulness_judge", ("output",), True),
    ("QARelevanceJudge", "qa_relevance_judge", ("output",), True),
    ("SummarizationCoherenceJudge", "summarization_coherence_judge", ("output",), True),
    ("SummarizationConsistencyJudge", "summarization_consistency_judge", ("output",), True),
    ("DemographicBiasJudge", "demographic_bias_judge", ("output",), False),
    ("PoliticalBiasJudge", "political_bias_judge", ("output",), False),
    ("GenderBiasJudge", "gender_bias_judge", ("output",), False),
    ("ReligiousBiasJudge", "religious_bias_judge", ("output",), False),
    ("RegionalBiasJudge", "regional_bias_judge", ("output",), False),
    ("ConversationalCoherenceMetric", "conversational_coherence_score", ("conversation",), True),
    ("UserFrustrationMetric", "user_frustration_score", ("conversation",), False),
    ("SessionCompletenessQuality", "session_completeness_quality", ("conversation",), True),
    ("ConversationComplianceRiskMetric", "conversation_compliance_risk", ("conversation",), False),
    (
        "ConversationDialogueHelpfulnessMetric",
        "conversation_dialogue_helpfulness",
        ("conversation",),
        True,
    ),
    ("ConversationQARelevanceMetric", "conversation_qa_relevance", ("conversation",), True),
    (
        "ConversationSummarizationCoherenceMetric",
        "conversation_summarization_coherence",
        ("conversation",),
        True,
    ),
    (
        "ConversationSummarizationConsistencyMetric",
        "conversation_summarization_consistency",
        ("conversation",),
        True,
    ),
    (
        "ConversationPromptUncertaintyMetric",
        "conversation_prompt_uncertainty",
        ("conversation",),
        False,
    ),
]
ARGUMENTS = {
    **RAG,
    **CHAT,
    "goal": "book a flight",
    "trajectory": [{"action": "search"}],
    "final_result": "booked",
}


def made(name: str) -> BaseMetric:
    options = {"rebuttal_model": MODEL} if name == "SycEval" else {}
    return getattr(judges, name)(MODEL, **options)


def case_of(name: str, default: str, required: tuple[str, ...]) -> MetricCase:
    arguments = {argument: ARGUMENTS[argument] for argument in required}
    if name == "AnswerRelevance":
        arguments["context"] = ARGUMENTS["context"]
    return MetricCase(lambda: made(name), arguments, default)


# Failures of conversation presets are values, so ``None`` is no exception: not in this battery.
CASES = [
    case_of(name, default, required)
    for name, default, required, _ in OPIKS
    if not re.match(r"Conversation[A-Z]", name)
] + [
    MetricCase(lambda: GEval("Grade.", "Be kind.", model=MODEL), ANSWER, "g_eval_metric"),
    MetricCase(lambda: GEvalPreset("qa_relevance", model=MODEL), ANSWER, "qa_relevance_judge"),
    MetricCase(
        lambda: judges.RankedContextPrecision(MODEL), RAG, "ranked_context_precision_metric"
    ),
    MetricCase(lambda: judges.Faithfulness(MODEL), RAG, "faithfulness_metric"),
    MetricCase(lambda: judges.NoiseSensitivity(MODEL), RAG, "noise_sensitivity_metric"),
    MetricCase(
        lambda: PairwiseJudge(MODEL), {**ANSWER, "baseline_output": "No idea."}, "pairwise_metric"
    ),
    MetricCase(
        lambda: RubricJudge("Depth.", {1: "flat", 5: "deep"}, model=MODEL), ANSWER, "rubric_metric"
    ),
    MetricCase(lambda: ChecklistJudge(["Is it short?"], model=MODEL), ANSWER, "checklist_metric"),
    MetricCase(lambda: DecisionTreeJudge(TREE, model=MODEL), ANSWER, "decision_tree_metric"),
    MetricCase(lambda: TemplateJudge("Rate {{ output }}", model=MODEL), ANSWER, "template_metric"),
]


class TestJudges(MetricContract):
    @pytest.fixture(params=CASES, ids=str)
    def case(self, request):
        return request.param


@pytest.mark.parametrize(("name", "default", "required", "better"), OPIKS, ids=str)
def test_opiks_names_arguments_and_directions(name, default, required, better):
    """Class, default name, required arguments and direction; the model comes first."""
    kind = getattr(judges, name)
    card = describe(kind("fake/echo"))
    assert (card.name, card.required) == (default, required)
    assert card.higher_is_better is better
    assert kind.higher_is_better is better
    assert card.value_range == (0.0, 1.0)
    assert next(iter(inspect.signature(kind).parameters)) == "model"
    assert {"name", "track", "project_name"} <= set(inspect.signature(kind).parameters)
    assert getattr(under_opiks_path, name) is kind


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_score_keeps_its_account(case):
    """Prompts with versions, model, calls, tokens and cost, all of it JSON."""
    [score] = normalise(case.make().score(**case.arguments), name="?")
    metadata = json.loads(json.dumps(score.metadata))
    assert metadata["prompts"]
    assert all(re.fullmatch(r"[0-9a-f]{12}", version) for version in metadata["prompts"].values())
    assert metadata["model"] == "fake/obliging"
    assert metadata["model_calls"] >= 1
    assert metadata["usage"]["total_tokens"] > 0
    assert metadata["cost_usd"] == 0.0


def test_every_prompt_is_used_and_begins_with_a_role_or_text():
    """No stray files: each template is somebody's."""
    sources = "".join(
        path.read_text("utf-8")
        for path in files("opik_eval.judges").iterdir()
        if path.name.endswith(".py")
    )
    names = [
        path.name.removesuffix(".md")
        for path in files("opik_eval.judges").joinpath("prompts").iterdir()
        if path.name.endswith(".md")
    ]
    assert len(names) > 20
    assert [name for name in names if f'"{name}"' not in sources] == []


def test_presets_have_texts_and_directions():
    """Every preset can be judged by, and points the way of its class."""
    from opik_eval.judges.presets import PRESETS

    for preset in PRESETS:
        task, criteria = GEvalPreset(preset).brief()
        assert len(task) > 40
        assert len(criteria) > 100
    classes = [kind for kind in vars(judges).values() if isinstance(kind, type)]
    for kind in classes:
        if issubclass(kind, GEvalPreset) and kind is not GEvalPreset:
            made = kind("fake/echo")
            assert GEvalPreset(made.preset).higher_is_better is kind.higher_is_better
    with pytest.raises(MetricError, match="no preset='bias'"):
        GEvalPreset("bias")


def test_judges_can_be_asked_for_by_name():
    """Run files and the command line find them all, and no bases."""
    assert get_metric("hallucination", model="fake/echo") == Hallucination("fake/echo")
    listed = {entry.kind for entry in list_metrics()}
    assert {Hallucination, LLMJuriesJudge, GEvalConversationMetric, LLMJudge} <= listed
    assert Judge not in listed


def test_judges_of_one_item_share_the_limiter_not_the_time():
    """Five judges at once take one round trip, not five."""
    active, peak = 0, 0

    async def slow(request):
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(0.01)
        active -= 1
        return oblige(request)

    model = ChatModel(name="fake/slow", transport=FunctionTransport(slow, features=JSON))
    panel = [Moderation(model), Usefulness(model), AnswerRelevance(model, require_context=False)]

    async def score_all():
        await asyncio.gather(*(judge.ascore(**ANSWER) for judge in panel))

    asyncio.run(score_all())
    assert peak == 3


def test_the_conversation_wrapper_takes_on_its_judges_range_and_direction():
    """A wrapper says of itself what holds for the judge inside."""
    wrapper = GEvalConversationMetric(judges.GenderBiasJudge("fake/echo"))
    assert wrapper.higher_is_better is False
    assert wrapper.name == "conversation_gender_bias_judge"
    assert GEvalConversationMetric(QARelevanceJudge("fake/echo"), name="x").name == "x"
