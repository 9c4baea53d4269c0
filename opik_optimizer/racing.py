"""Racing: a candidate meets the incumbent block by block, and a loser is dropped early.

After each block but the last, a one-sided paired test asks whether the candidate is worse on the
items seen so far. It is dropped at the first look whose p-value is at most ``LEVEL``.

- Where all differences that are not zero have one size (0/1 scores), the test is the exact binomial
  one on wins and losses (McNemar's, one-sided).
- Else it is the sign-flip test with its normal approximation: under "no difference" each difference
  is as likely as its mirror image, so their sum has variance sum(d^2). With m differences no
  p-value below 2^-m is possible; the approximation is held above that.

**The level.** What matters is how often a candidate that is truly better by 10 points is dropped.
On 0/1 scores wins - losses is a random walk with steps +1, -1, 0 of probability (q+.1)/2, (q-.1)/2,
1-q, where q is the share of items on which the two differ; the chance that it is beyond the
boundary at one of the looks is a finite sum, and grows with q. Two prompts that fail independently
or on like items have q <= .45^2 + .55^2 = .505. There, level 0.15 with blocks of max(5, V/4) keeps
the chance at or below 6 % for samples of 20 to 200 items (at V = 40: 5.3 %); the tests compute
the sum and simulate graded scores. A candidate that is no better is dropped in 12 to 20 % of the
races, one that is worse by 10 points in 27 to 84 %, one worse by 20 points in 50 to 100 %.

Source: Wald 1945 (sequential tests); Maron and Moore 1994 (racing); Birattari et al. 2002 (F-race).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opik_optimizer.evaluation import Evaluation

LEVEL = 0.15
_FEWEST_ITEMS = 5
_BLOCKS = 4
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class RaceOutcome:
    """How a race ended.

    Attributes:
        evaluation: The candidate on the items it was run on: all of the sample, unless dropped.
        dropped: It was shown to be worse and its race ended early.
        p_worse: p-value of the last look against "not worse"; small = it is worse.
        blocks: Blocks that were run.
    """

    evaluation: Evaluation
    dropped: bool
    p_worse: float
    blocks: int


def blocks_of(item_ids: Sequence[str], *, size: int | None = None) -> list[tuple[str, ...]]:
    """Cut a sample into blocks of ``size`` items, by default max(5, V/4); a short rest is joined.

    Example:
        >>> [len(block) for block in blocks_of([str(i) for i in range(42)])]
        [11, 11, 11, 9]
        >>> [len(block) for block in blocks_of("abcdefg")]
        [7]
    """
    step = size or max(_FEWEST_ITEMS, math.ceil(len(item_ids) / _BLOCKS))
    blocks = [tuple(item_ids[start : start + step]) for start in range(0, len(item_ids), step)]
    if len(blocks) > 1 and len(blocks[-1]) < step / 2:
        last = blocks.pop()
        blocks[-1] += last
    return blocks


def p_worse(candidate: Mapping[str, float], incumbent: Mapping[str, float]) -> float:
    """Return the one-sided p-value of "the candidate is not worse" on the items both have.

    Args:
        candidate: Score by item.
        incumbent: Score by item.

    Example:
        >>> p_worse({"a": 0.0, "b": 0.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0})
        0.25
    """
    differences = [
        score - incumbent[item]
        for item, score in candidate.items()
        if item in incumbent and score != incumbent[item]
    ]
    if not differences:
        return 1.0
    largest = max(abs(difference) for difference in differences)
    shares = [difference / largest for difference in differences]
    if min(abs(share) for share in shares) >= 1 - 1e-12:
        return _binomial(sum(share > 0 for share in shares), len(shares))
    spread = math.sqrt(math.fsum(share * share for share in shares))
    approximate = _NORMAL.cdf(math.fsum(shares) / spread)
    return max(approximate, 0.5 ** len(differences))


def is_worse(p_value: float) -> bool:
    """Tell whether a look drops the candidate."""
    return p_value <= LEVEL


@lru_cache(maxsize=4096)
def _binomial(wins: int, trials: int) -> float:
    """Return P(at most ``wins`` of ``trials`` fair coins)."""
    return math.fsum(math.comb(trials, k) / 2**trials for k in range(wins + 1))


__all__ = ["LEVEL", "RaceOutcome", "blocks_of", "is_worse", "p_worse"]
