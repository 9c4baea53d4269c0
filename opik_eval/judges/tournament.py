"""Several candidates, compared pair by pair, in one ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from opik_eval.errors import ConfigError
from opik_eval.judges.pairwise import PairwiseJudge, WinRate, win_rate
from opik_eval.judges.scoring import score_items
from opik_eval.metrics.base import BaseMetric, ScoreResult
from opik_eval.statistics.ranking import Game, Rated, bradley_terry


@dataclass(frozen=True, kw_only=True)
class Tournament:
    """What came of comparing candidates.

    Attributes:
        ranking: The candidates, the strongest first, with intervals.
        win_rates: For each pair that met, the win rate of the first against the second.
        overall: All comparisons together: flip rate, preference for what is shown first, failures
            and what a judge that picks the longer output would do.
        longer_ranking: The ranking by such a judge. The same ranking as that of the judge is a
            reason to doubt the judge.
        scores: All scores, by pair and in the order of the items.
    """

    ranking: Sequence[Rated]
    win_rates: Mapping[tuple[str, str], WinRate]
    overall: WinRate
    longer_ranking: Sequence[Rated]
    scores: Mapping[tuple[str, str], Sequence[ScoreResult]] = field(repr=False)

    def __str__(self) -> str:
        lines = [
            f"{place}. {one.name}: {one.strength:+.3f} [{one.low:+.3f}, {one.high:+.3f}], "
            f"rank {one.best_rank} to {one.worst_rank}"
            for place, one in enumerate(self.ranking, start=1)
        ]
        longest = ", ".join(one.name for one in self.longer_ranking)
        return "\n".join([*lines, str(self.overall), f"by length alone: {longest}"])


def rank(
    candidates: Mapping[str, Sequence[object]],
    *,
    judge: BaseMetric | None = None,
    items: Sequence[Mapping[str, object]] | None = None,
    confidence: float = 0.95,
) -> Tournament:
    """Compare all pairs of candidates on all items and rank them.

    The comparisons run concurrently. Those of one item are taken to depend on each other.

    Args:
        candidates: The outputs of each candidate, in the order of the items.
        judge: Compares ``output`` with ``baseline_output``: 1 the output is better, 0.5 tie, 0 not.
            A ``PairwiseJudge`` if absent.
        items: What else the judge takes, such as ``input``, for each item.
        confidence: Coverage of the intervals.

    Raises:
        ConfigError: There are fewer than two candidates, their outputs differ in number, or no
            comparison of some candidates succeeded.
        BudgetExceededError: A call would pass a limit of the budget.
    """
    sizes = {name: len(outputs) for name, outputs in candidates.items()}
    count = next(iter(sizes.values()), 0)
    rows = [dict(item) for item in items] if items is not None else [{} for _ in range(count)]
    if len(sizes) < 2 or {len(rows)} != set(sizes.values()):
        raise ConfigError(
            f"a ranking needs two candidates or more with an output for each of {len(rows)} "
            f"items, not {sizes}"
        )
    pairs = list(combinations(candidates, 2))
    scores = score_items(
        judge or PairwiseJudge(),
        [
            {**row, "output": output, "baseline_output": other}
            for a, b in pairs
            for row, output, other in zip(rows, candidates[a], candidates[b], strict=True)
        ],
    )
    by_pair = {
        pair: scores[number * count : (number + 1) * count] for number, pair in enumerate(pairs)
    }
    games = [
        Game(*pair, score.value, index)
        for pair, found in by_pair.items()
        for index, score in enumerate(found)
        if score.is_scored and score.value is not None
    ]
    by_length = [
        Game(a, b, _longer(candidates[a][index], candidates[b][index]), index)
        for a, b in pairs
        for index in range(count)
    ]
    return Tournament(
        ranking=bradley_terry(games, confidence=confidence),
        win_rates={pair: win_rate(found, confidence=confidence) for pair, found in by_pair.items()},
        overall=win_rate(scores, confidence=confidence),
        longer_ranking=bradley_terry(by_length, confidence=confidence),
        scores=by_pair,
    )


def _longer(one: object, other: object) -> float:
    difference = len(str(one)) - len(str(other))
    return 0.5 if difference == 0 else float(difference > 0)


__all__ = ["Tournament", "rank"]
