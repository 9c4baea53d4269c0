"""Which of two outputs is better? Asked in both orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, Field

from opik_eval.judges.base import Judge, Reason, Verdict
from opik_eval.judges.together import together
from opik_eval.metrics.base import ScoreResult

if TYPE_CHECKING:
    from opik_eval.statistics.intervals import Estimate

_CRITERIA = (
    "Which output serves the writer of the input better: by being right, complete and clear?"
)


class PairReply(BaseModel):
    """Which of two outputs is better."""

    reason: Reason = Field(description="The difference that decides, in one or two sentences.")
    winner: Literal["A", "B", "tie"] = Field(description="The better output, or tie.")


@dataclass
class PairwiseJudge(Judge):
    """Whether the output beats the baseline's: 1 win, 0.5 tie, 0 loss.

    Judges tend to favour what they are shown first, so both orders are asked, at the same time. A
    win or a loss counts only if both verdicts agree; otherwise it is a tie, with
    ``metadata["flipped"]`` set. ``win_rate`` sums up many scores, with the flip rate and what a
    judge would find that always picks the longer output.

    Args:
        criteria: What makes an output better.

    Source: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena".

    Example:
        >>> PairwiseJudge(model="openai/gpt-5-nano").name
        'pairwise_metric'
    """

    prompt: ClassVar[str] = "pairwise"
    reply: ClassVar[type[BaseModel]] = PairReply

    criteria: str = field(default=_CRITERIA, kw_only=True)
    name: str = field(default="pairwise_metric", kw_only=True)

    async def ascore(
        self,
        output: object,
        baseline_output: object,
        input: object = None,
        context: object = None,
        expected_output: object = None,
        **_ignored: object,
    ) -> ScoreResult:
        """Compare ``output`` with ``baseline_output``.

        The other arguments are shown to the model where they are given.
        """
        self.check({"output": output, "baseline_output": baseline_output})
        hearing = self.hearing()
        material = {
            "criteria": self.criteria,
            "input": input,
            "context": context,
            "expected_output": expected_output,
        }
        straight, swapped = await together(
            hearing.ask(self.prompt, PairReply, {**material, "first": first, "second": second})
            for first, second in ((output, baseline_output), (baseline_output, output))
        )
        wins = _wins(straight.winner, "A"), _wins(swapped.winner, "B")
        agreed = wins[0] == wins[1]
        value = wins[0] if agreed else 0.5
        verdict = Verdict(
            value=value,
            reason=straight.reason
            if agreed
            else f"the orders disagree: {straight.reason} / {swapped.reason}",
            category_name={1.0: "win", 0.5: "tie", 0.0: "loss"}[value],
            metadata={
                "flipped": not agreed,
                "winners": [straight.winner, swapped.winner],
                "length_difference": len(str(output)) - len(str(baseline_output)),
            },
        )
        return self.result(hearing, verdict)


def _wins(winner: str, label: str) -> float:
    return 0.5 if winner == "tie" else float(winner == label)


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """What many pairwise scores say together.

    Attributes:
        estimate: Mean value (ties count half) with its interval; above 0.5 the output is better.
        wins: Pairs won.
        ties: Pairs tied, those with disagreeing orders included.
        losses: Pairs lost.
        failed: Pairs without a verdict; in none of the other numbers.
        flip_rate: Share of pairs whose verdict changed with the order. High = the judge sees order,
            not quality.
        first_rate: Share of verdicts other than tie for what was shown first; 0.5 = no preference.
        longer_rate: Win rate that a judge would find who always picks the longer output.
        longer_agreement: Share of decided pairs of different length in which the judge picked the
            longer one. NaN without such pairs.
    """

    estimate: Estimate
    wins: int
    ties: int
    losses: int
    failed: int
    flip_rate: float
    first_rate: float
    longer_rate: float
    longer_agreement: float

    def __str__(self) -> str:
        found = self.estimate
        return (
            f"win rate {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] "
            f"({self.wins} wins, {self.ties} ties, {self.losses} losses, {self.failed} failed); "
            f"verdict flips with the order {self.flip_rate:.0%}; "
            f"always-the-longer would say {self.longer_rate:.3f}"
        )


def win_rate(scores: Sequence[ScoreResult], *, confidence: float = 0.95) -> WinRate:
    """Sum up scores of a ``PairwiseJudge``.

    Args:
        scores: One for each pair; failed ones are counted apart.
        confidence: Coverage of the interval, in (0, 1).

    Example:
        >>> facts = {"flipped": False, "winners": ["A", "B"], "length_difference": 3}
        >>> rate = win_rate([ScoreResult("pairwise_metric", 1.0, metadata=facts)] * 8)
        >>> rate.wins, rate.estimate.mean, rate.longer_agreement
        (8, 1.0, 1.0)
    """
    from opik_eval.statistics.intervals import mean_interval

    scored = [(score.value, score.metadata or {}) for score in scores if score.is_scored]
    values = [value for value, _ in scored if value is not None]
    facts = [metadata for _, metadata in scored]
    longer = [_sign(metadata) for metadata in facts]
    decided = [(v, sign) for v, sign in zip(values, longer, strict=True) if v != 0.5 and sign]
    winners = [winner for metadata in facts for winner in _winners(metadata) if winner != "tie"]
    return WinRate(
        estimate=mean_interval(values, confidence=confidence),
        wins=values.count(1.0),
        ties=values.count(0.5),
        losses=values.count(0.0),
        failed=len(scores) - len(values),
        flip_rate=_share([bool(metadata.get("flipped")) for metadata in facts]),
        first_rate=_share([winner == "A" for winner in winners]),
        longer_rate=_share([(1 + sign) / 2 for sign in longer]),
        longer_agreement=_share([(value > 0.5) == (sign > 0) for value, sign in decided]),
    )


def _sign(metadata: Mapping[str, object]) -> int:
    difference = metadata.get("length_difference")
    return (difference > 0) - (difference < 0) if isinstance(difference, int) else 0


def _winners(metadata: Mapping[str, object]) -> Sequence[object]:
    winners = metadata.get("winners")
    return winners if isinstance(winners, Sequence) else ()


def _share(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


__all__ = ["PairReply", "PairwiseJudge", "WinRate", "win_rate"]
