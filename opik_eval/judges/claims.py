"""Judges that take a text apart into claims and check each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from opik_eval.judges.base import Judge, JudgeWithExamples, Reason, Verdict
from opik_eval.judges.hearing import Hearing
from opik_eval.judges.numbered import in_order, numbered
from opik_eval.judges.rag import chunks_of
from opik_eval.judges.together import together
from opik_eval.metrics.arguments import require_choice
from opik_eval.metrics.base import ScoreResult

_CREDIT = {"truth": 1.0, "unclear": 0.5, "lie": 0.0}


class JudgedClaim(BaseModel):
    """A claim and whether it is true."""

    claim: Reason = Field(description="One claim of the output, understandable by itself.")
    reason: Reason = Field(description="What speaks for or against it.")
    verdict: Literal["truth", "lie", "unclear"] = Field(description="What the claim is.")


class FactualityReply(BaseModel):
    """All claims of a text."""

    claims: list[JudgedClaim] = Field(
        json_schema_extra={"maxItems": 20}, description="All claims of the output; may be empty."
    )


@dataclass
class Factuality(JudgeWithExamples):
    """How much of what the output claims is true, 0 to 1; a claim in doubt counts half.

    One call names and judges all claims. ``Faithfulness`` checks claims in a call of its own, which
    is slower and stricter. An output without claims gets no score.

    Example:
        >>> Factuality(model="openai/gpt-5-nano").name
        'FactualityMetric'
    """

    prompt: ClassVar[str] = "factuality"
    reply: ClassVar[type[BaseModel]] = FactualityReply

    name: str = field(default="FactualityMetric", kw_only=True)

    def verdict(self, reply: BaseModel) -> Verdict:
        """Return the mean credit of the claims."""
        claims = reply.claims if isinstance(reply, FactualityReply) else []
        if not claims:
            return Verdict(value=None, reason="the output makes no claims")
        return Verdict(
            value=fmean(_CREDIT[claim.verdict] for claim in claims),
            reason="\n".join(
                f"{claim.verdict}: {claim.claim} ({claim.reason})" for claim in claims
            ),
            metadata={"claims": [claim.model_dump() for claim in claims]},
        )

    async def ascore(
        self, input: object, output: object, context: object = None, **_ignored: object
    ) -> ScoreResult:
        """Judge the claims of ``output``, by ``context`` where it is given."""
        return await self.ask(input=input, output=output, context=context)


class Claims(BaseModel):
    """The claims of a text."""

    claims: list[Reason] = Field(
        json_schema_extra={"maxItems": 30}, description="All claims of the text; may be empty."
    )


class ClaimCheck(BaseModel):
    """Whether a source supports a claim."""

    reason: Reason = Field(description="What the source says about it.")
    supported: bool = Field(description="Whether the source alone is enough to infer the claim.")


async def find_claims(hearing: Hearing, text: object, question: object) -> Sequence[str]:
    """Return the claims that a text makes; ``question`` may help to understand it."""
    reply = await hearing.ask("claims", Claims, {"text": text, "question": question})
    return [claim for claim in reply.claims if claim.strip()]


async def check_claims(
    hearing: Hearing, claims: Sequence[str], source: object
) -> Sequence[ClaimCheck]:
    """Return for each claim whether a source supports it, by one call for all of them."""
    if not claims:
        return []
    values = {"claims": claims, "source": source}
    reply = await hearing.ask("claims_check", numbered(ClaimCheck, len(claims)), values)
    return in_order(reply, ClaimCheck)


@dataclass
class Faithfulness(Judge):
    """What share of the output's claims the context supports, 0 to 1.

    Two calls: one takes the output apart into claims, one checks them against the context, which is
    all it gets to see. An output without claims gets no score. ``metadata["claims"]`` has every
    claim with its verdict.

    Source: Es et al. 2024, "RAGAS: Automated Evaluation of Retrieval Augmented Generation".

    Example:
        >>> Faithfulness(model="openai/gpt-5-nano").name
        'faithfulness_metric'
    """

    name: str = field(default="faithfulness_metric", kw_only=True)

    async def ascore(
        self, output: object, context: object, input: object = None, **_ignored: object
    ) -> ScoreResult:
        """Judge ``output`` by ``context``; ``input`` helps to understand short answers."""
        self.check({"output": output, "context": context})
        hearing = self.hearing()
        claims = await find_claims(hearing, output, input)
        checks = await check_claims(hearing, claims, context)
        if not checks:
            return self.result(hearing, Verdict(value=None, reason="the output makes no claims"))
        judged = [
            {"claim": claim, "supported": check.supported, "reason": check.reason}
            for claim, check in zip(claims, checks, strict=True)
        ]
        unsupported = [
            claim for claim, check in zip(claims, checks, strict=True) if not check.supported
        ]
        verdict = Verdict(
            value=1 - len(unsupported) / len(claims),
            reason="not supported: " + "; ".join(unsupported)
            if unsupported
            else f"all {len(claims)} claims are supported",
            metadata={"claims": judged},
        )
        return self.result(hearing, verdict)


@dataclass
class NoiseSensitivity(Judge):
    """What share of the output's claims are wrong and were taken from the context. Lower is better.

    A claim is wrong if the expected output does not support it. A chunk of the context is relevant
    if it supports a claim of the expected output. Calls: two that find claims, one for each chunk,
    one for the expected output; the latter run at once.

    Args:
        mode: ``relevant`` counts wrong claims that a relevant chunk supports; ``irrelevant`` those
            that only irrelevant chunks support.

    Source: Ru et al. 2024, "RAGChecker: A Fine-grained Framework for Diagnosing RAG".

    Example:
        >>> NoiseSensitivity(model="openai/gpt-5-nano").name
        'noise_sensitivity_metric'
    """

    higher_is_better: ClassVar[bool | None] = False

    mode: Literal["relevant", "irrelevant"] = field(default="relevant", kw_only=True)
    name: str = field(default="noise_sensitivity_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.mode, "mode", ("relevant", "irrelevant"), metric=self.name)

    async def ascore(
        self,
        input: object,
        output: object,
        expected_output: object,
        context: Sequence[object],
        **_ignored: object,
    ) -> ScoreResult:
        """Judge ``output``, which was made from the chunks of ``context``."""
        self.check({"input": input, "output": output, "expected_output": expected_output})
        chunks = chunks_of(context, metric=self.name)
        hearing = self.hearing()
        claims, expected = await together(
            find_claims(hearing, text, input) for text in (output, expected_output)
        )
        if not claims:
            return self.result(hearing, Verdict(value=None, reason="the output makes no claims"))
        right, *by_chunk = await together(
            [
                check_claims(hearing, claims, expected_output),
                *(check_claims(hearing, [*claims, *expected], chunk) for chunk in chunks),
            ]
        )
        relevant, irrelevant = _supported_by(by_chunk, len(claims))
        from_noise = relevant if self.mode == "relevant" else irrelevant - relevant
        noisy = [claims[i] for i in sorted(from_noise) if not right[i].supported]
        verdict = Verdict(
            value=len(noisy) / len(claims),
            reason="; ".join(noisy) or "no wrong claim comes from the context",
            metadata={"claims": list(claims), "noisy_claims": noisy},
        )
        return self.result(hearing, verdict)


def _supported_by(
    by_chunk: Sequence[Sequence[ClaimCheck]], count: int
) -> tuple[set[int], set[int]]:
    """Return which of the first claims relevant chunks support, and which irrelevant ones do."""
    relevant: set[int] = set()
    irrelevant: set[int] = set()
    for checks in by_chunk:
        is_relevant = any(check.supported for check in checks[count:])
        supported = {index for index in range(count) if checks[index].supported}
        (relevant if is_relevant else irrelevant).update(supported)
    return relevant, irrelevant


__all__ = [
    "ClaimCheck",
    "Claims",
    "Factuality",
    "FactualityReply",
    "Faithfulness",
    "JudgedClaim",
    "NoiseSensitivity",
    "check_claims",
    "find_claims",
]
