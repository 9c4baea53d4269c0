"""What model calls used: tokens and money; unknown stays unknown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from opik_eval.metrics.base import ScoreResult


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What some model calls used.

    Attributes:
        calls: Number of requests; 0 where only sums are known.
        usage: Token counts, summed by kind; ``None`` if no call reported any.
        cost_usd: Sum of the known costs; ``None`` if there was no call or none has a price.
        unpriced_calls: Calls whose price is unknown and missing from ``cost_usd``.
    """

    calls: int = 0
    usage: Mapping[str, int] | None = None
    cost_usd: float | None = None
    unpriced_calls: int = 0

    @property
    def total_tokens(self) -> int | None:
        """Prompt and completion tokens together; ``None`` if they are unknown."""
        if self.usage is None:
            return None
        if "total_tokens" in self.usage:
            return self.usage["total_tokens"]
        kinds = {"prompt_tokens", "completion_tokens"} & self.usage.keys()
        return sum(self.usage[kind] for kind in kinds) if kinds else None

    def as_metadata(self) -> dict[str, object]:
        """Return the form in which scores carry it; what is unknown is left out."""
        facts = {
            "model_calls": self.calls,
            "usage": dict(self.usage) if self.usage else None,
            "cost_usd": self.cost_usd,
            "unpriced_calls": self.unpriced_calls or None,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


NOTHING = ModelUse()


def model_use_of_score(score: ScoreResult) -> ModelUse:
    """Return what the model calls behind a score used, by the score's metadata.

    Example:
        >>> metadata = {"model_calls": 2, "usage": {"total_tokens": 90}, "cost_usd": 0.01}
        >>> model_use_of_score(ScoreResult("judge", 1.0, metadata=metadata)).total_tokens
        90
    """
    metadata = score.metadata
    if not metadata or "model_calls" not in metadata:
        return NOTHING
    calls, cost, usage = (metadata.get(name) for name in ("model_calls", "cost_usd", "usage"))
    unpriced = metadata.get("unpriced_calls", 0 if _is_number(cost) else calls)
    if not (_is_number(calls) and _is_number(unpriced)):
        return NOTHING  # somebody else's metadata
    counts = usage if isinstance(usage, dict) else {}
    return ModelUse(
        calls=int(cast("float", calls)),
        usage={kind: int(n) for kind, n in counts.items() if _is_number(n)} or None,
        cost_usd=float(cast("float", cost)) if _is_number(cost) else None,
        unpriced_calls=int(cast("float", unpriced)),
    )


def total_use(parts: Iterable[ModelUse]) -> ModelUse:
    """Return the sum of what several groups of calls used.

    Example:
        >>> total_use([ModelUse(1, {"total_tokens": 5}, 0.5), ModelUse(1, None, None, 1)])
        ModelUse(calls=2, usage={'total_tokens': 5}, cost_usd=0.5, unpriced_calls=1)
    """
    used = [part for part in parts if part is not NOTHING]
    if not used:
        return NOTHING
    usage: dict[str, int] = {}
    for part in used:
        for kind, count in (part.usage or {}).items():
            usage[kind] = usage.get(kind, 0) + count
    costs = [part.cost_usd for part in used if part.cost_usd is not None]
    return ModelUse(
        calls=sum(part.calls for part in used),
        usage=usage or None,
        cost_usd=math.fsum(costs) if costs else None,
        unpriced_calls=sum(part.unpriced_calls for part in used),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
