"""Landscapes: how likely an answer is right, given which rules the prompt has.

    p(correct) = floor + (cap - floor) x product(miss of each needed rule that is absent)
                 x clashes x idle_factor ^ idle sentences x length_factor ^ surplus words

Every factor is at most 1 and reaches 1 when all rules are present and nothing else is, so the
optimum is ``cap`` on every item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Noise = str
"""``det``: one threshold for each item; ``prompt``: a draw for each pair of prompt and item, equal
when repeated; ``sample``: a draw for each call."""

NOISES: tuple[Noise, ...] = ("det", "prompt", "sample")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Something the prompt should say.

    Attributes:
        component: The prompt of the task in which the phrase must occur.
        miss: Factor on the chance of success on an item that needs the rule and lacks it.
    """

    phrase: str
    hint: str
    component: str
    miss: float


@dataclass(frozen=True, kw_only=True)
class Clash:
    """Rules that hurt together unless another one is there.

    Attributes:
        sides: Groups of rules; the clash is on if the prompt has a rule of each. A single side of
            one rule is a trap: that rule alone does the harm.
        cure: The rule that ends the clash.
        factor: Factor on the chance of success while the clash is on.
    """

    sides: tuple[frozenset[int], ...]
    cure: int
    factor: float

    def is_on(self, present: frozenset[int]) -> bool:
        """Tell whether the clash does harm in a prompt with these rules."""
        return self.cure not in present and all(side & present for side in self.sides)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A case: the rules it needs and the clashes that it suffers from."""

    id: str
    needs: frozenset[int]
    exposed: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """All that a prompt's effect depends on."""

    present: frozenset[int]
    idle: int = 0
    surplus_words: int = 0


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """The hidden side of a task.

    Attributes:
        idle_factor: Factor for each idle sentence.
        length_factor: Factor for each word beyond what the seed prompt and all rules need.
        hint_rate: Share of failures whose feedback names a missing rule.
    """

    components: tuple[str, ...]
    rules: tuple[Rule, ...]
    clashes: tuple[Clash, ...]
    floor: float
    cap: float
    idle_factor: float
    length_factor: float
    hint_rate: float
    noise: Noise

    def probability(self, traits: Traits, item: Item) -> float:
        """Return the chance that a prompt with these traits gets an item right."""
        value = self.idle_factor**traits.idle * self.length_factor**traits.surplus_words
        for index in item.needs - traits.present:
            value *= self.rules[index].miss
        for index in item.exposed:
            if self.clashes[index].is_on(traits.present):
                value *= self.clashes[index].factor
        return self.floor + (self.cap - self.floor) * value

    def blamable(self, traits: Traits, item: Item) -> list[int]:
        """Return the absent rules that would have helped on an item, in order."""
        causes = {index for index in item.needs - traits.present if self.rules[index].miss < 1}
        for index in item.exposed:
            if self.clashes[index].is_on(traits.present):
                causes.add(self.clashes[index].cure)
        return sorted(causes)

    def present(self, texts: Mapping[str, str]) -> frozenset[int]:
        """Return the rules that prompts have, each in its own component."""
        return frozenset(
            index
            for index, rule in enumerate(self.rules)
            if rule.phrase in texts.get(rule.component, "").lower()
        )
