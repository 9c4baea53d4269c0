"""Judges of single answers, put to work on conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.errors import BudgetExceededError, MetricError
from opik_eval.judges.presets import (
    ComplianceRiskJudge,
    DialogueHelpfulnessJudge,
    PromptUncertaintyJudge,
    QARelevanceJudge,
    SummarizationCoherenceJudge,
    SummarizationConsistencyJudge,
)
from opik_eval.metrics.base import BaseMetric, DataclassMetric, ScoreResult, failed, normalise
from opik_eval.models.base import Model
from opik_eval.prompts.messages import Message, to_text


@dataclass
class GEvalConversationMetric(DataclassMetric):
    """What a judge of single answers says of the last answer in a conversation.

    The judge gets the last answer as ``output``, the message before it as ``input`` and the
    conversation before that as ``context``, as far as it takes them. A failure is a failed score,
    not an exception.

    Args:
        judge: Any metric that takes ``output``.
        name: Name of the score; ``conversation_`` and the judge's if absent.

    Example:
        >>> GEvalConversationMetric(QARelevanceJudge("openai/gpt-5-nano")).name
        'conversation_qa_relevance_judge'
    """

    judge: BaseMetric
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        self.name = self.name or f"conversation_{self.judge.name}"
        super().__post_init__()
        # The judge's, not the class's.
        vars(self)["higher_is_better"] = self.judge.higher_is_better
        vars(self)["value_range"] = self.judge.value_range

    async def ascore(self, conversation: Sequence[Message], **_ignored: object) -> ScoreResult:
        """Judge the last answer of ``conversation``: messages with ``role`` and ``content``."""
        try:
            available = _last_answer(conversation, metric=self.name)
            positional, named = self.judge.score_arguments().select(available)
            returned = await self.judge.ascore(*positional, **named)
            [score] = normalise(returned, name=self.name)
        except BudgetExceededError:
            raise  # the run must see it to stop
        except Exception as error:  # noqa: BLE001 - the judge may be the user's code
            return failed(self.name, error)
        score.name = self.name
        return score


def _last_answer(conversation: Sequence[Message], *, metric: str) -> dict[str, object]:
    answers = [
        place
        for place, message in enumerate(conversation or ())
        if message.get("role") == "assistant" and message.get("content")
    ]
    if not answers:
        raise MetricError(
            f"metric {metric!r} finds no answer of the assistant in 'conversation'",
            remedy="give messages such as {'role': 'assistant', 'content': 'Hello'}",
        )
    last = answers[-1]
    before = list(conversation[:last])
    question = before.pop() if before else None
    return {
        "output": conversation[last]["content"],
        "input": None if question is None else question.get("content"),
        "context": to_text(before) if before else None,
    }


@dataclass
class _PresetOnConversation(GEvalConversationMetric):
    """Base of those whose judge is made from a model."""

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    make: ClassVar[Callable[..., BaseMetric]]

    judge: BaseMetric = field(init=False, repr=False)
    model: str | Model | None = None
    temperature: float | None = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        options = {"temperature": self.temperature, "track": self.track}
        self.judge = type(self).make(self.model, project_name=self.project_name, **options)
        super().__post_init__()


@dataclass
class ConversationComplianceRiskMetric(_PresetOnConversation):
    """How risky the last answer is in a regulated field, 0 to 1. Lower is better."""

    make: ClassVar[Callable[..., BaseMetric]] = ComplianceRiskJudge
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="conversation_compliance_risk", kw_only=True)


@dataclass
class ConversationDialogueHelpfulnessMetric(_PresetOnConversation):
    """How helpful the last answer is in its conversation, 0 to 1."""

    make: ClassVar[Callable[..., BaseMetric]] = DialogueHelpfulnessJudge

    name: str = field(default="conversation_dialogue_helpfulness", kw_only=True)


@dataclass
class ConversationQARelevanceMetric(_PresetOnConversation):
    """How directly the last answer answers what was asked last, 0 to 1."""

    make: ClassVar[Callable[..., BaseMetric]] = QARelevanceJudge

    name: str = field(default="conversation_qa_relevance", kw_only=True)


@dataclass
class ConversationSummarizationCoherenceMetric(_PresetOnConversation):
    """How well the last answer reads as a summary, 0 to 1."""

    make: ClassVar[Callable[..., BaseMetric]] = SummarizationCoherenceJudge

    name: str = field(default="conversation_summarization_coherence", kw_only=True)


@dataclass
class ConversationSummarizationConsistencyMetric(_PresetOnConversation):
    """How faithful the last answer is as a summary of what was said before, 0 to 1."""

    make: ClassVar[Callable[..., BaseMetric]] = SummarizationConsistencyJudge

    name: str = field(default="conversation_summarization_consistency", kw_only=True)


@dataclass
class ConversationPromptUncertaintyMetric(_PresetOnConversation):
    """How unclear the last answer is, read as a prompt, 0 to 1. Lower is better."""

    make: ClassVar[Callable[..., BaseMetric]] = PromptUncertaintyJudge
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="conversation_prompt_uncertainty", kw_only=True)


__all__ = [
    "ConversationComplianceRiskMetric",
    "ConversationDialogueHelpfulnessMetric",
    "ConversationPromptUncertaintyMetric",
    "ConversationQARelevanceMetric",
    "ConversationSummarizationCoherenceMetric",
    "ConversationSummarizationConsistencyMetric",
    "GEvalConversationMetric",
]
