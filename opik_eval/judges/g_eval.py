"""G-Eval: grading by criteria that are first broken down into steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import MetricError
from opik_eval.judges.base import Judge, Verdict
from opik_eval.judges.logprobs import expected_score, score_probabilities
from opik_eval.judges.prompt import load_prompt
from opik_eval.judges.single_flight import SingleFlight
from opik_eval.metrics.base import ScoreResult
from opik_eval.models.base import Completion, Message

_HIGHEST = 10
_RIVALS = 20  # what providers report at most
_SAMPLING_TEMPERATURE = 1.0


class GEvalSteps(BaseModel):
    """The steps that a grader follows."""

    steps: list[str] = Field(min_length=1, description="The steps, in order.")


class GEvalReply(BaseModel):
    """A grade with its reason."""

    reason: str = Field(description="What decided the grade, in one or two sentences.")
    score: int = Field(ge=0, le=_HIGHEST, description="The grade, a whole number from 0 to 10.")


# With the steps goes the model that wrote them, so that its id, part of the key, stays its own.
_steps: SingleFlight[tuple[tuple[str, ...], object]] = SingleFlight(max_size=128)


@dataclass
class GEval(Judge):
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

    async def ascore(
        self,
        output: object,
        input: object = None,
        context: object = None,
        expected_output: object = None,
        **_ignored: object,
    ) -> ScoreResult:
        """Grade ``output``; the other arguments are shown to the model where they are given.

        Raises:
            MetricError: ``output`` is ``None``.
            JudgeError: The model failed or did not answer as asked.
        """
        self.require(output=output)
        completions: list[Completion] = []
        messages = self.judge_prompt().messages(
            {
                "task_introduction": self.task_introduction,
                "evaluation_criteria": self.evaluation_criteria,
                "steps": await self._steps(completions),
                "input": input,
                "context": context,
                "expected_output": expected_output,
                "output": output,
            }
        )
        verdict = await self._grade(messages, completions)
        return self.result(verdict, completions)

    async def _steps(self, completions: list[Completion]) -> tuple[str, ...]:
        if self.evaluation_steps is not None:
            return tuple(self.evaluation_steps)
        prompt = load_prompt("g_eval_steps")
        values = {
            "task_introduction": self.task_introduction,
            "evaluation_criteria": self.evaluation_criteria,
        }

        async def write() -> tuple[tuple[str, ...], object]:
            completion, plan = await self.call(prompt.messages(values), GEvalSteps)
            completions.append(completion)
            return tuple(plan.steps), self.model

        by_name = self.model is None or isinstance(self.model, str)
        model = self.resolved_model().name if by_name else id(self.model)
        sampling = (self.temperature, self.seed, self.reasoning_effort)
        key = (*values.values(), prompt.version, model, *sampling)
        steps, _ = await _steps.get(key, write)
        return steps

    async def _grade(self, messages: Sequence[Message], completions: list[Completion]) -> Verdict:
        asks_for_logprobs = await self.model_supports("logprobs")
        if asks_for_logprobs or self.samples == 1:
            params = {"logprobs": True, "top_logprobs": _RIVALS} if asks_for_logprobs else {}
            completion, reply = await self.call(messages, GEvalReply, **params)
            completions.append(completion)
            weighted = _weighted(completion, reply)
            if weighted is not None or self.samples == 1:
                return weighted or _written(reply)
        return await self._sampled(messages, completions)

    async def _sampled(self, messages: Sequence[Message], completions: list[Completion]) -> Verdict:
        temperature = self.temperature or _SAMPLING_TEMPERATURE
        calls = [
            asyncio.ensure_future(
                self.call(messages, GEvalReply, repeat=repeat, temperature=temperature)
            )
            for repeat in range(self.samples)
        ]
        try:
            drawn = await asyncio.gather(*calls)
        finally:
            for call in calls:
                call.cancel()
        completions.extend(completion for completion, _ in drawn)
        scores = [reply.score for _, reply in drawn]
        mean = fmean(scores)
        typical = min((reply for _, reply in drawn), key=lambda reply: abs(reply.score - mean))
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
