"""G-Eval judges with ready-made tasks and criteria."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import ClassVar

from opik_eval.judges.g_eval import GEval
from opik_eval.metrics.arguments import require_choice
from opik_eval.models.base import Model

_RISKS = (
    "bias_demographic",
    "bias_gender",
    "bias_political",
    "bias_regional",
    "bias_religion",
    "compliance_regulated_truthfulness",
    "prompt_uncertainty",
)
_QUALITIES = (
    "agent_task_completion",
    "agent_tool_correctness",
    "dialogue_helpfulness",
    "qa_relevance",
    "summarization_coherence",
    "summarization_consistency",
)
PRESETS = tuple(sorted(_RISKS + _QUALITIES))
"""Names of the presets."""


@dataclass
class GEvalPreset(GEval):
    """How well the output meets the criteria of a preset, 0 to 1.

    For biases, compliance risk and uncertainty, ``higher_is_better`` is false: the score says how
    much of it there is.

    Args:
        preset: One of ``PRESETS``.

    Raises:
        MetricError: There is no such preset.

    Example:
        >>> judge = GEvalPreset("bias_gender", model="openai/gpt-5-nano")
        >>> judge.name, judge.higher_is_better
        ('bias_gender_judge', False)
    """

    task_introduction: str = field(init=False, default="", repr=False)
    evaluation_criteria: str = field(init=False, default="", repr=False)
    preset: str
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        self.name = self.name or f"{self.preset}_judge"
        super().__post_init__()
        require_choice(self.preset, "preset", PRESETS, metric=self.name)
        vars(self)["higher_is_better"] = self.preset not in _RISKS  # hides that of the class

    def brief(self) -> tuple[str, str]:
        """Return the task and the criteria of the preset."""
        return _load(self.preset)


@dataclass
class _QualityJudge(GEvalPreset):
    preset: str = field(init=False, default="")
    model: str | Model | None = field(default=None, kw_only=False)


@dataclass
class _RiskJudge(_QualityJudge):
    higher_is_better: ClassVar[bool | None] = False


@dataclass
class AgentToolCorrectnessJudge(_QualityJudge):
    """How correctly an agent, whose record is the output, chose, called and read its tools."""

    preset: str = field(init=False, default="agent_tool_correctness")
    name: str = field(default="agent_tool_correctness_judge", kw_only=True)


@dataclass
class AgentTaskCompletionJudge(_QualityJudge):
    """How far an agent, whose record is the output, completed its task."""

    preset: str = field(init=False, default="agent_task_completion")
    name: str = field(default="agent_task_completion_judge", kw_only=True)


@dataclass
class ComplianceRiskJudge(_RiskJudge):
    """How risky the output is in a regulated field: untrue, unproven or unlawful statements."""

    preset: str = field(init=False, default="compliance_regulated_truthfulness")
    name: str = field(default="compliance_risk_judge", kw_only=True)


@dataclass
class PromptUncertaintyJudge(_RiskJudge):
    """How ambiguous a prompt, which is the output here, leaves what is to be done."""

    preset: str = field(init=False, default="prompt_uncertainty")
    name: str = field(default="prompt_uncertainty_judge", kw_only=True)


@dataclass
class DialogueHelpfulnessJudge(_QualityJudge):
    """How helpful the output is as a turn of a dialogue."""

    preset: str = field(init=False, default="dialogue_helpfulness")
    name: str = field(default="dialogue_helpfulness_judge", kw_only=True)


@dataclass
class QARelevanceJudge(_QualityJudge):
    """How directly the output answers its question."""

    preset: str = field(init=False, default="qa_relevance")
    name: str = field(default="qa_relevance_judge", kw_only=True)


@dataclass
class SummarizationCoherenceJudge(_QualityJudge):
    """How well the output reads as a summary: its order, its transitions, its whole."""

    preset: str = field(init=False, default="summarization_coherence")
    name: str = field(default="summarization_coherence_judge", kw_only=True)


@dataclass
class SummarizationConsistencyJudge(_QualityJudge):
    """How faithful the output, a summary, is to its source."""

    preset: str = field(init=False, default="summarization_consistency")
    name: str = field(default="summarization_consistency_judge", kw_only=True)


@dataclass
class DemographicBiasJudge(_RiskJudge):
    """How much the output generalises about people by age, origin, disability or class."""

    preset: str = field(init=False, default="bias_demographic")
    name: str = field(default="demographic_bias_judge", kw_only=True)


@dataclass
class PoliticalBiasJudge(_RiskJudge):
    """How much the output takes sides in politics."""

    preset: str = field(init=False, default="bias_political")
    name: str = field(default="political_bias_judge", kw_only=True)


@dataclass
class GenderBiasJudge(_RiskJudge):
    """How much the output generalises about people by gender, or leaves one out."""

    preset: str = field(init=False, default="bias_gender")
    name: str = field(default="gender_bias_judge", kw_only=True)


@dataclass
class ReligiousBiasJudge(_RiskJudge):
    """How much the output generalises about believers, or belittles what they believe."""

    preset: str = field(init=False, default="bias_religion")
    name: str = field(default="religious_bias_judge", kw_only=True)


@dataclass
class RegionalBiasJudge(_RiskJudge):
    """How much the output generalises about people by region or culture."""

    preset: str = field(init=False, default="bias_regional")
    name: str = field(default="regional_bias_judge", kw_only=True)


@cache
def _load(preset: str) -> tuple[str, str]:
    text = (
        files("opik_eval.judges").joinpath("prompts", "presets", f"{preset}.md").read_text("utf-8")
    )
    task, _, criteria = text.partition("\n---\n")
    return task.strip(), criteria.strip()


__all__ = [
    "PRESETS",
    "AgentTaskCompletionJudge",
    "AgentToolCorrectnessJudge",
    "ComplianceRiskJudge",
    "DemographicBiasJudge",
    "DialogueHelpfulnessJudge",
    "GEvalPreset",
    "GenderBiasJudge",
    "PoliticalBiasJudge",
    "PromptUncertaintyJudge",
    "QARelevanceJudge",
    "RegionalBiasJudge",
    "ReligiousBiasJudge",
    "SummarizationCoherenceJudge",
    "SummarizationConsistencyJudge",
]
