"""G-Eval: grading by criteria that are first broken down into steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import MetricError
from opik_eval.judges.base import MaterialJudge, Reason, Verdict, model_supports
from opik_eval.judges.hearing import Hearing
from opik_eval.judges.logprobs import expected_score, score_probabilities
from opik_eval.judges.prompt import load_prompt
from opik_eval.judges.single_flight import SingleFlight
from opik_eval.judges.together import together
from opik_eval.models.base import Completion, Model

_HIGHEST = 10
_BRIEF = ("task_introduction", "evaluation_criteria")
_STEPS_PROMPT = "g_eval_steps"
_RIVALS = 20  # what providers report at most
_SAMPLING_TEMPERATURE = 1.0


class GEvalSteps(BaseModel):
    """The steps that a grader follows."""

    steps: list[Reason] = Field(
        min_length=1, json_schema_extra={"maxItems": 8}, description="The steps, in order."
    )


class GEvalReply(BaseModel):
    """A grade with its reason."""

    reason: Reason = Field(description="What decided the grade, in one or two sentences.")
    score: int = Field(ge=0, le=_HIGHEST, description="The grade, a whole number from 0 to 10.")


# With the steps goes the model that wrote them, so that its id, part of the key, stays its own.
_steps: SingleFlight[tuple[tuple[str, ...], object]] = SingleFlight(max_size=128)


@dataclass
class GEval(MaterialJudge):
    """How well the output meets criteria of your own, 0 to 1.

    The model first turns the criteria into steps (once per criteria and model, however many scores
    are computed at a time), then grades each output by them on a scale of 0 to 10.

    Where the model reports log-probabilities, the score is the mean of all grades weighted by how
    likely the model found them, divided by 10. Elsewhere it is the grade that was written, or with
    ``samples`` above 1 the mean over so many replies, drawn at temperature 1 if it is 0.
    ``metadata["score_source"]`` says which: ``logprobs``, ``text`` or ``samples``.

    Args:
        task_introduction: What the graded text is for.
        evaluation_criteria: What makes it good.
        evaluation_steps: The steps to grade by, instead of having the model write them.
        samples: Replies to average where there are no log-probabilities; at least 1.

    Raises:
        MetricError: ``samples`` is below 1.

    Source: Liu et al. 2023, "G-Eval: NLG Evaluation using GPT-4 with Better Human Alignment".

    Example:
        >>> judge = GEval(
        ...     task_introduction="You grade answers of a museum guide.",
        ...     evaluation_criteria="The answer is friendly and names the room.",
        ...     model="openai/gpt-5-nano",
        ... )
        >>> judge.name
        'g_eval_metric'
    """

    prompt: ClassVar[str] = "g_eval"
    reply: ClassVar[type[BaseModel]] = GEvalReply

    task_introduction: str
    evaluation_criteria: str
    model: str | Model | None = field(default=None, kw_only=True)
    evaluation_steps: Sequence[str] | None = field(default=None, kw_only=True)
    samples: int = field(default=1, kw_only=True)
    name: str = field(default="g_eval_metric", kw_only=True)
    temperature: float | None = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise MetricError(
                f"metric {self.name!r}: samples is {self.samples}", remedy="give 1 or more"
            )

    def brief(self) -> tuple[str, str]:
        """Return the task and the criteria."""
        return self.task_introduction, self.evaluation_criteria

    async def consider(self, hearing: Hearing, material: Mapping[str, object]) -> Verdict:
        """Return the grade."""
        brief = dict(zip(_BRIEF, self.brief(), strict=True))
        steps = await self._steps(hearing)
        return await self._grade(hearing, {**brief, "steps": steps, **material})

    async def _steps(self, hearing: Hearing) -> tuple[str, ...]:
        if self.evaluation_steps is not None:
            return tuple(self.evaluation_steps)
        values = dict(zip(_BRIEF, self.brief(), strict=True))

        async def write() -> tuple[tuple[str, ...], object]:
            plan = await hearing.ask(_STEPS_PROMPT, GEvalSteps, values)
            return tuple(plan.steps), self.model

        by_name = self.model is None or isinstance(self.model, str)
        model = hearing.model.name if by_name else id(self.model)
        sampling = (self.temperature, self.seed, self.reasoning_effort)
        key = (*values.values(), load_prompt(_STEPS_PROMPT).version, model, *sampling)
        steps, _ = await _steps.get(key, write)
        return steps

    async def _grade(self, hearing: Hearing, values: Mapping[str, object]) -> Verdict:
        asks_for_logprobs = await model_supports(hearing.model, "logprobs")
        if asks_for_logprobs or self.samples == 1:
            params = {"logprobs": True, "top_logprobs": _RIVALS} if asks_for_logprobs else {}
            completion, reply = await hearing.ask_fully(self.prompt, GEvalReply, values, **params)
            weighted = _weighted(completion, reply)
            if weighted is not None or self.samples == 1:
                return weighted or _written(reply)
        return await self._sampled(hearing, values)

    async def _sampled(self, hearing: Hearing, values: Mapping[str, object]) -> Verdict:
        temperature = self.temperature or _SAMPLING_TEMPERATURE
        drawn = await together(
            hearing.ask(self.prompt, GEvalReply, values, repeat=repeat, temperature=temperature)
            for repeat in range(self.samples)
        )
        scores = [reply.score for reply in drawn]
        mean = fmean(scores)
        typical = min(drawn, key=lambda reply: abs(reply.score - mean))
        return Verdict(
            value=mean / _HIGHEST,
            reason=typical.reason,
            metadata={"score_source": "samples", "sample_scores": scores},
        )


def _written(reply: GEvalReply) -> Verdict:
    return Verdict(
        value=reply.score / _HIGHEST, reason=reply.reason, metadata={"score_source": "text"}
    )


def _weighted(completion: Completion, reply: GEvalReply) -> Verdict | None:
    tokens = completion.logprobs
    probabilities = score_probabilities(tokens, reply.score, highest=_HIGHEST) if tokens else None
    if probabilities is None:
        return None
    shown = {str(number): round(mass, 6) for number, mass in probabilities.items()}
    return Verdict(
        value=expected_score(probabilities) / _HIGHEST,
        reason=reply.reason,
        metadata={
            "score_source": "logprobs",
            "written_score": reply.score,
            "score_probabilities": shown,
        },
    )


__all__ = ["GEval", "GEvalReply", "GEvalSteps"]
