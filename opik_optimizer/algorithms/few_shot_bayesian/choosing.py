"""From a plan to a set of demonstrations: how many, which, in which order.

What the search decides are properties of the set, not places in the data: a model of 30 trials can
learn that balanced, diverse sets of six do well, but not which of 120 items belongs in place four.
Chance and credit choose among items that fit a plan equally well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from opik_optimizer.algorithms.few_shot_bayesian.pool import Pool, Source

if TYPE_CHECKING:
    import random

Form = Literal["messages", "text"]
"""How demonstrations are shown: as turns of user and assistant, or as a text in the prompt."""

Order = Literal["drawn", "easy_to_hard", "typical_last", "interleaved"]
Origin = Literal["fresh", "edit"]

_MOST_CHANGE = 0.7


class Suggest(Protocol):
    """What is used of an Optuna trial."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return an integer of the range."""
        ...

    def suggest_float(self, name: str, low: float, high: float) -> float:
        """Return a float of the range."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """Return one of the choices."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a set of demonstrations is to be like.

    Attributes:
        count: How many.
        form: How they are shown.
        source: Where answers come from.
        wording: Which of the answer templates.
        is_balanced: Classes are shown equally often, as far as the number allows.
        order: Their order; ``drawn`` = as chance has it.
        diversity: How much an item must differ from those chosen before, 0 to 1.
        typicality: How much it should be like all others, -1 to 1; below 0 = unlike them.
        difficulty: How hard it should be, -1 to 1; below 0 = easy.
        origin: A new set, or the best one so far with some items exchanged.
        change: Share of them that is exchanged.
    """

    count: int
    form: Form = "messages"
    source: Source = "label"
    wording: int = 0
    is_balanced: bool = False
    order: Order = "drawn"
    diversity: float = 0.5
    typicality: float = 0.0
    difficulty: float = 0.0
    origin: Origin = "fresh"
    change: float = 0.3

    def describe(self) -> str:
        """Return it in words."""
        parts = [
            f"{self.count} demonstrations as {self.form}",
            "own answers" if self.source == "own" else "",
            "balanced" if self.is_balanced else "",
            f"order {self.order}",
            f"diversity {self.diversity:.2f}, typicality {self.typicality:+.2f}",
            f"difficulty {self.difficulty:+.2f}" if self.difficulty else "",
            f"{self.change:.0%} of the best set exchanged" if self.origin == "edit" else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class PlanSpace:
    """The plans that are possible; a property with one possible value is no dimension of it."""

    least: int
    most: int
    forms: tuple[Form, ...]
    sources: tuple[Source, ...]
    wordings: int = 1
    can_balance: bool = False
    is_diverse: bool = True
    knows_difficulty: bool = False

    @property
    def orders(self) -> tuple[Order, ...]:
        """The possible orders."""
        found: list[Order] = ["drawn", "typical_last"]
        found += ["easy_to_hard"] if self.knows_difficulty else []
        return (*found, "interleaved") if self.can_balance else tuple(found)

    def suggest(self, trial: Suggest) -> Plan:
        """Return the plan that a trial chooses."""

        def one_of(name: str, options: Sequence[str]) -> str:
            return options[0] if len(options) == 1 else trial.suggest_categorical(name, options)

        def weight(name: str, low: float, *, is_searched: bool) -> float:
            return trial.suggest_float(name, low, 1) if is_searched else 0.0

        wordings = [str(index) for index in range(self.wordings)]
        return Plan(
            count=trial.suggest_int("count", self.least, self.most),
            form=one_of("form", self.forms),  # type: ignore[arg-type]  # one of them
            source=one_of("source", self.sources),  # type: ignore[arg-type]
            wording=int(one_of("wording", wordings)),
            is_balanced=self.can_balance and one_of("balanced", ("yes", "no")) == "yes",
            order=one_of("order", self.orders),  # type: ignore[arg-type]
            diversity=weight("diversity", 0, is_searched=self.is_diverse),
            typicality=weight("typicality", -1, is_searched=True),
            difficulty=weight("difficulty", -1, is_searched=self.knows_difficulty),
            origin=one_of("origin", ("fresh", "edit")),  # type: ignore[arg-type]
            change=trial.suggest_float("change", 0, _MOST_CHANGE),
        )

    def first_plans(self) -> list[dict[str, object]]:
        """Return what to try first: balanced and diverse sets of different sizes, in each form."""
        plans = []
        sizes = (self.most, (self.least + self.most + 1) // 2)
        for number, count in enumerate(dict.fromkeys(sizes)):
            for form in self.forms:
                values: dict[str, object] = {
                    "count": count,
                    "form": form,
                    "balanced": "yes",
                    "order": "drawn",
                    "diversity": 0.5,
                    "typicality": 0.5 * number,
                    "difficulty": 0.0,
                    "origin": "fresh",
                }
                plans.append({k: v for k, v in values.items() if self._has(k)})
        return plans

    def _has(self, name: str) -> bool:
        return {
            "form": len(self.forms) > 1,
            "balanced": self.can_balance,
            "diversity": self.is_diverse,
            "difficulty": self.knows_difficulty,
        }.get(name, True)


def choose(
    pool: Pool,
    plan: Plan,
    *,
    rng: random.Random,
    credit: Mapping[int, float],
    best: Sequence[int] = (),
) -> list[int]:
    """Return the numbers of the examples that a plan gets, in their order.

    Args:
        pool: All examples.
        plan: What the set is to be like.
        rng: Chance.
        credit: How much better sets with an example did than others, about -1 to 1.
        best: The best set so far, for a plan that edits it.
    """
    luck = [rng.random() for _ in range(len(pool))]
    merit = [
        plan.typicality * pool.typicality[i]
        + plan.difficulty * pool.examples[i].difficulty
        + credit.get(i, 0.0)
        + luck[i]
        for i in range(len(pool))
    ]
    kept = _kept(best, plan, merit) if plan.origin == "edit" and best else []
    chosen = list(kept)
    while len(chosen) < min(plan.count, len(pool)):
        chosen.append(_next(pool, plan, merit, chosen))
    added = chosen[len(kept) :]
    rng.shuffle(added)
    for index in added:
        kept.insert(rng.randint(0, len(kept)), index)
    return _ordered(pool, plan, kept)


def credits_of(trials: Sequence[tuple[Sequence[int], float]]) -> dict[int, float]:
    """Return for each example how much better sets with it did than the mean set, shrunken.

    Args:
        trials: Sets, and by how much each was better than the initial prompt.

    Example:
        >>> credits_of([([0, 1], 0.4), ([1, 2], 0.0)])
        {0: 0.5, 1: 0.0, 2: -0.5}
    """
    if not trials:
        return {}
    gains = [gain for _, gain in trials]
    mean = math.fsum(gains) / len(gains)
    spread = math.sqrt(math.fsum((gain - mean) ** 2 for gain in gains) / len(gains)) or 1.0
    sums: dict[int, float] = {}
    counts: Counter[int] = Counter()
    for members, gain in trials:
        for index in members:
            sums[index] = sums.get(index, 0.0) + (gain - mean) / spread
            counts[index] += 1
    return {index: sums[index] / (counts[index] + 1) for index in sorted(sums)}


def _kept(best: Sequence[int], plan: Plan, merit: Sequence[float]) -> list[int]:
    """Return what stays of the best set, in its order: all but the least worthy."""
    size = min(len(best) - round(plan.change * len(best)), plan.count)
    worthy = sorted(best, key=lambda index: merit[index], reverse=True)[: max(size, 0)]
    return [index for index in best if index in worthy]


def _next(pool: Pool, plan: Plan, merit: Sequence[float], chosen: Sequence[int]) -> int:
    """Return the best example to add."""
    free = [index for index in range(len(pool)) if index not in chosen]
    classes = pool.classes
    if plan.is_balanced and classes is not None:
        shown = Counter(classes[index] for index in chosen)
        fewest = min(shown[classes[index]] for index in free)
        free = [index for index in free if shown[classes[index]] == fewest]
    nearest = dict.fromkeys(free, 0.0)
    if chosen and plan.diversity:
        nearest = {index: float(pool.similarity[index, list(chosen)].max()) for index in free}
    return max(free, key=lambda index: merit[index] - plan.diversity * nearest[index])


def _ordered(pool: Pool, plan: Plan, chosen: Sequence[int]) -> list[int]:
    if plan.order == "easy_to_hard":
        return sorted(chosen, key=lambda index: pool.examples[index].difficulty)
    if plan.order == "typical_last":
        return sorted(chosen, key=lambda index: pool.typicality[index])
    if plan.order == "interleaved" and pool.classes is not None:
        seen: Counter[str] = Counter()
        turns: dict[int, int] = {}
        for index in chosen:
            turns[index] = seen[pool.classes[index]]
            seen[pool.classes[index]] += 1
        return sorted(chosen, key=lambda index: turns[index])
    return list(chosen)


__all__ = ["Form", "Order", "Plan", "PlanSpace", "Suggest", "choose", "credits_of"]
