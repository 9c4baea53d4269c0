"""What the next proposal does: which parents, and what is done with them.

Plans are made when a proposal is issued, from what is committed; nothing here waits for anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.evolutionary.edits import EDITS
from opik_optimizer.algorithms.evolutionary.offspring import GUARDED, Plan
from opik_optimizer.algorithms.evolutionary.population import (
    Member,
    mate_of,
    survivors,
    tournament,
)
from opik_optimizer.text_edits import cross_texts, merge_texts

if TYPE_CHECKING:
    import random

    from opik_optimizer.algorithms.evolutionary.options import EvolutionaryOptions, Scale
    from opik_optimizer.budget import Lease
    from opik_optimizer.evaluation import Evaluation, ItemResult
    from opik_optimizer.session import Session

CHUNK = 4
"""A parent is run on at most this many times as many items as failures are wanted."""

_ATTEMPTS_SHOWN = 3


class Planner:
    """The members of a search, the population among them, and what was done with them.

    Args:
        session: The run.
        options: Parameters.
        scale: What the budget made of them.
        is_failure: Tells whether an item leaves something to be gained.

    Attributes:
        members: All that were run on the whole validation sample, in the order of their commits.
        population: Those that survive.
    """

    def __init__(
        self,
        session: Session,
        options: EvolutionaryOptions,
        scale: Scale,
        is_failure: Callable[[ItemResult], bool],
    ) -> None:
        self.members: list[Member] = []
        self.population: list[Member] = []
        self._session = session
        self._options = options
        self._scale = scale
        self._is_failure = is_failure
        self._made: set[tuple[str, ...]] = set()
        self._pairs: set[tuple[int, int]] = set()
        self._tried: dict[int, list[str]] = {}

    def add(self, evaluation: Evaluation, parents: tuple[int, ...]) -> Member:
        """Make a complete evaluation a member; the population is cut to its size."""
        options, index = self._options, len(self.members)
        order = list(self._session.train_ids)
        self._session.rng("order", index).shuffle(order)
        member = Member(
            index=index,
            evaluation=evaluation,
            texts=self._texts(evaluation),
            parents=parents,
            order=tuple(order),
        )
        self.members.append(member)
        self._made.add(tuple(member.texts.values()))
        self.population = survivors(
            [*self.population, member],
            self._scale.population,
            elites=options.elitism_size,
            is_moo=options.enable_moo,
        )
        return member

    def note_try(self, parent: Member, child: Evaluation) -> None:
        """Remember a child that did not help, to be shown to the reflection model."""
        texts = self._texts(child)
        changed = [text for name, text in texts.items() if text != parent.texts.get(name)]
        self._tried.setdefault(parent.index, []).append("\n\n".join(changed))

    def plan(
        self, operator: str, index: int, lease: Lease, rng: random.Random, *, asks: bool
    ) -> Plan | None:
        """Choose parents and what to do with them; ``None`` if the operator has nothing to do."""
        spare = lease.metric_calls - len(self._session.validation_ids)
        if operator == "crossover":
            return self._crossover(index, spare, rng, asks=asks)
        parents = self._ranked_parents(rng)
        if operator in EDITS:
            plans = (self._edit(operator, index, p, spare, rng) for p in parents)
            return next((plan for plan in plans if plan is not None), None)
        brood = min(self._scale.brood, lease.trials)
        for parent in (*parents, parents[0]):
            plan = self._lesson(operator, index, parent, brood, spare)
            if plan is not None:
                return plan
            if parent is parents[-1]:
                parents[0].shown.clear()  # nobody has anything new: let the first one start over
        return None

    def _ranked_parents(self, rng: random.Random) -> list[Member]:
        """Return the winner of a tournament, then that among the rest, and so on."""
        left, ranked = list(self.population), []
        while left:
            winner = tournament(
                left, rng, size=self._options.tournament_size, is_moo=self._options.enable_moo
            )
            ranked.append(winner)
            left.remove(winner)
        return ranked

    def _lesson(
        self, operator: str, index: int, parent: Member, brood: int, spare: int
    ) -> Plan | None:
        """Take failures that were not shown yet, and fresh train items to find more of them."""
        size = self._scale.screening
        while brood > 1 and spare < brood * (2 * size + GUARDED):
            brood -= 1
        room = min(spare - brood * (size + GUARDED), CHUNK * size * brood)
        if room < size and self._session.train_ids:
            return None
        is_failure = self._is_failure
        failures = [i for i, r in parent.trained.items() if is_failure(r)]
        study = [item for item in failures if item not in parent.shown][: size * brood]
        seen = [*parent.trained.values(), *parent.evaluation.results]
        rate = sum(map(is_failure, seen)) / len(seen)
        wanted = math.ceil((size * brood - len(study)) / max(rate, 1 / CHUNK))
        chunk = parent.order[parent.cursor : parent.cursor + min(wanted, room)]
        if not study and not chunk and operator != "simplify":
            return None
        parent.cursor += len(chunk)
        parent.shown.update(study)
        return Plan(
            index=index,
            operator=operator,
            parents=(parent,),
            known=dict(parent.trained),
            study=tuple(study),
            chunk=tuple(chunk),
            brood=brood,
            size=size,
            attempts=tuple(self._tried.get(parent.index, ())[-_ATTEMPTS_SHOWN:]),
        )

    def _edit(
        self, operator: str, index: int, parent: Member, spare: int, rng: random.Random
    ) -> Plan | None:
        """Draw an edit of one component that was not made yet."""
        for name in rng.sample(sorted(parent.texts), len(parent.texts)):
            others = [m.texts[name] for m in self.population if m is not parent]
            edited = EDITS[operator](parent.texts[name], others)
            choices = [{**parent.texts, name: text} for text in edited if text.strip()]
            new = [texts for texts in choices if tuple(texts.values()) not in self._made]
            if new:
                return self._ready(operator, index, (parent,), rng.choice(new), spare)
        return None

    def _crossover(self, index: int, spare: int, rng: random.Random, *, asks: bool) -> Plan | None:
        """Join two members that were not joined yet, where they differ."""
        for first in self._ranked_parents(rng):
            able = [m for m in self.population if m is not first and self._may_mate(first, m)]
            if not able:
                continue
            mate = mate_of(first, able, rng, self._options.tournament_size)
            self._pairs.add(_pair(first, mate))
            better, other = sorted((first, mate), key=lambda m: (-m.score, m.index))
            texts = self._crossed(better, other, rng, asks=asks)
            if texts is None:
                return self._screened(index, "crossover", (better, other), None, spare)
            if tuple(texts.values()) not in self._made:
                return self._ready("crossover", index, (better, other), texts, spare)
        return None

    def _may_mate(self, first: Member, second: Member) -> bool:
        return _pair(first, second) not in self._pairs and first.texts != second.texts

    def _crossed(
        self, better: Member, other: Member, rng: random.Random, *, asks: bool
    ) -> dict[str, str] | None:
        """Merge what both changed since their ancestor; ``None`` = the model is to be asked."""
        base = self._ancestor(better, other).texts
        if asks and self._options.enable_semantic_crossover:
            return None
        crossed = {}
        for name, text in better.texts.items():
            merged = merge_texts(base[name], text, other.texts[name])
            if merged is None and asks:
                return None
            crossed[name] = merged or cross_texts(
                text, other.texts[name], lambda: rng.random() < 0.5
            )
        return crossed

    def _ancestor(self, first: Member, second: Member) -> Member:
        """Return the youngest common ancestor; one of the two if it is the other's."""
        common = self._line(first) & self._line(second)
        return self.members[max(common)]

    def _line(self, member: Member) -> set[int]:
        found, waiting = {member.index}, [*member.parents]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self.members[index].parents
        return found

    def _ready(
        self,
        operator: str,
        index: int,
        parents: tuple[Member, ...],
        texts: dict[str, str],
        spare: int,
    ) -> Plan:
        self._made.add(tuple(texts.values()))
        return self._screened(index, operator, parents, texts, spare)

    def _screened(
        self,
        index: int,
        operator: str,
        parents: tuple[Member, ...],
        texts: dict[str, str] | None,
        spare: int,
    ) -> Plan:
        """Let a child be screened on items that its first parent was run on, or will be."""
        parent = parents[0]
        size = min(self._scale.screening, spare // 2)
        missing = max(0, size - len(parent.trained))
        chunk = parent.order[parent.cursor : parent.cursor + missing]
        parent.cursor += len(chunk)
        return Plan(
            index=index,
            operator=operator,
            parents=parents,
            texts=texts,
            known=dict(parent.trained),
            chunk=tuple(chunk),
            size=size,
        )

    def _texts(self, evaluation: Evaluation) -> dict[str, str]:
        settings = self._session.settings
        return evaluation.candidate.components(settings.roles, tools=settings.tools)


def _pair(first: Member, second: Member) -> tuple[int, int]:
    low, high = sorted((first.index, second.index))
    return low, high
