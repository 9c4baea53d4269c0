"""One evolutionary search: what is decided when a proposal is issued, and when it is committed."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.evolutionary.edits import EDITS
from opik_optimizer.algorithms.evolutionary.offspring import GUARDED, Breeder, Offspring, Plan
from opik_optimizer.algorithms.evolutionary.options import Scale
from opik_optimizer.algorithms.evolutionary.population import (
    Member,
    diversity,
    dominates,
    fronts,
    knee,
    mate_of,
    survivors,
    tournament,
)
from opik_optimizer.algorithms.evolutionary.rates import OperatorRates
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.text_edits import cross_texts, merge_texts

if TYPE_CHECKING:
    import random

    from opik_optimizer.algorithms.evolutionary.options import EvolutionaryOptions
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.pipeline import Failure
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

ASKING = {"repair": 0.80, "simplify": 0.05, "rethink": 0.05}
"""Mutations by the reflection model, and their initial shares among the mutations."""
EDITING = {
    "drop": 0.02,
    "move": 0.01,
    "instruct": 0.02,
    "borrow": 0.03,
    "replace": 0.01,
    "list_out": 0.01,
}
"""Mutations without a model, likewise."""

_ATTEMPTS_SHOWN = 3
_MOST_UNUSABLE = 3
_CHUNK = 4  # a parent is run on at most this many times as many items as failures are wanted


class EvolutionarySearch:
    """The state of one search, and its decisions.

    Args:
        session: The run.
        options: Parameters.
        templates: Texts for the reflection model.
        style: What answers should look like.
        has_model: There is a reflection model.
    """

    def __init__(
        self,
        session: Session,
        options: EvolutionaryOptions,
        templates: TemplateLibrary,
        *,
        style: str | None,
        has_model: bool,
    ) -> None:
        self._session = session
        self._options = options
        self._scale = Scale.of(options, session)
        self._breeder = Breeder(
            session,
            templates,
            style=style,
            is_free=options.enable_semantic_crossover,
            is_moo=options.enable_moo,
        )
        self._rates = OperatorRates(_shares(options), is_adaptive=options.adaptive_mutation)
        self._has_model = has_model
        self._is_trusted = False
        self._unusable = 0
        self._members: list[Member] = []
        self._population: list[Member] = []
        self._operators: dict[int, str] = {}
        self._made: set[tuple[str, ...]] = set()
        self._pairs: set[tuple[int, int]] = set()
        self._tried: dict[int, list[str]] = {}
        self._generation = self._idle = 0
        self._best = session.best.candidate.id
        self._add(session.baseline, ())

    async def run(self) -> None:
        """Evolve until the budget is spent or the generations are over."""
        session, scale = self._session, self._scale
        if not self._members[0].texts:
            session.stop("completed")
            return
        screening = scale.brood * (_CHUNK * scale.screening + scale.screening + GUARDED)
        await session.pipeline(
            self.issue,
            self.commit,
            lease=LeaseSize(
                metric_calls=screening + len(session.validation_ids),
                least_metric_calls=len(session.validation_ids),
                trials=scale.brood + (scale.brood > 1),
                least_trials=1,
            ),
        )
        session.details.update(self._report())

    def issue(self, index: int, lease: Lease) -> Coroutine[object, object, Offspring] | None:
        """Decide on a proposal, from what is committed."""
        generations, patience = self._scale.generations, self._options.no_improvement_generations
        if generations is not None and index >= generations * self._scale.population:
            return None
        if patience is not None and self._idle >= patience:
            self._session.stop("no_improvement")
            return None
        rng = self._session.rng("offspring", index)
        able = list(self._able())
        while (operator := self._rates.draw(rng, able)) is not None:
            plan = self._plan(operator, index, lease, rng)
            if plan is not None:
                self._operators[index] = operator
                return self._breeder.breed(plan)
            able.remove(operator)
        return _nothing(Plan(index=index, operator="none", parents=(self._members[0],)))

    def commit(self, index: int, outcome: Offspring | Failure) -> None:
        """Take in what came of a proposal."""
        session = self._session
        operator = self._operators.pop(index, None)
        is_success = False
        if not isinstance(outcome, Offspring):
            session.record_failure(str(outcome), operator=operator or "")
            self._distrust(operator)
        elif operator is not None:
            is_success = self._take(outcome)
        if operator is not None:
            self._rates.saw(operator, is_success=is_success)
        if (index + 1) % self._scale.population == 0:
            self._close_generation()

    def _take(self, found: Offspring) -> bool:
        """Commit offspring; return whether one is better than its parent."""
        session, plan = self._session, found.plan
        plan.parent.trained.update(found.ran)
        plan.parent.shown.update(found.shown)
        if plan.texts is None and not found.screened and found.raced is None:
            self._distrust(plan.operator if found.refused else None)
        elif plan.texts is None:
            self._is_trusted = True
        raced = found.raced
        for screen in found.screened:
            if raced is None or screen.evaluation.candidate != raced.candidate:
                session.record_trial(screen.evaluation, accepted=False, reason=screen.reason)
                if not screen.passed:
                    self._note_try(plan.parent, screen.evaluation)
        if raced is None:
            if not found.screened:
                session.record_failure(found.reason, operator=plan.operator)
            return False
        survives = False
        if found.complete:
            session.consider(raced)
            member = self._add(raced, tuple(parent.index for parent in plan.parents))
            survives = member in self._population
        session.record_trial(raced, accepted=survives, reason=found.reason)
        if not found.complete or raced.score < plan.parent.score:
            self._note_try(plan.parent, raced)
        return found.complete and self._is_better(raced, plan.parent)

    def _is_better(self, child: Evaluation, parent: Member) -> bool:
        if not self._options.enable_moo:
            return child.score > parent.score
        mine, theirs = (child.score, child.candidate.tokens), (parent.score, parent.tokens)
        return child.score > parent.score or dominates(mine, theirs)

    def _add(self, evaluation: Evaluation, parents: tuple[int, ...]) -> Member:
        session, options, index = self._session, self._options, len(self._members)
        order = list(session.train_ids)
        session.rng("order", index).shuffle(order)
        member = Member(
            index=index,
            evaluation=evaluation,
            texts=evaluation.candidate.components(
                session.settings.roles, tools=session.settings.tools
            ),
            parents=parents,
            order=tuple(order),
        )
        self._members.append(member)
        self._made.add(tuple(member.texts.values()))
        self._population = survivors(
            [*self._population, member],
            self._scale.population,
            elites=options.elitism_size,
            is_moo=options.enable_moo,
        )
        return member

    def _note_try(self, parent: Member, child: Evaluation) -> None:
        settings = self._session.settings
        texts = child.candidate.components(settings.roles, tools=settings.tools)
        changed = [text for name, text in texts.items() if text != parent.texts.get(name)]
        self._tried.setdefault(parent.index, []).append("\n\n".join(changed))

    def _distrust(self, operator: str | None) -> None:
        """Do without the reflection model once its first proposals were all unusable."""
        if operator not in {*ASKING, "crossover"} or self._is_trusted:
            return
        self._unusable += 1
        if self._unusable >= _MOST_UNUSABLE and self._has_model:
            self._has_model = False
            self._session.details["reflection_model"] = (
                f"given up: none of its first {self._unusable} proposals could be used"
            )

    def _able(self) -> list[str]:
        names = [*EDITING, "crossover"]
        if self._has_model and self._options.enable_llm_mutation:
            names += ASKING
        return names

    def _plan(self, operator: str, index: int, lease: Lease, rng: random.Random) -> Plan | None:
        """Choose parents and what to do with them; ``None`` if the operator has nothing to do."""
        spare = lease.metric_calls - len(self._session.validation_ids)
        if operator == "crossover":
            return self._plan_crossover(index, spare, rng)
        parents = self._ranked_parents(rng)
        if operator in EDITING:
            plans = (self._plan_edit(operator, index, p, spare, rng) for p in parents)
        else:
            brood = min(self._scale.brood, lease.trials)
            plans = (self._plan_lesson(operator, index, p, brood, spare) for p in parents)
        return next((plan for plan in plans if plan is not None), None)

    def _ranked_parents(self, rng: random.Random) -> list[Member]:
        """Return the winner of a tournament, then that among the rest, and so on."""
        left, ranked = list(self._population), []
        while left:
            winner = tournament(
                left, rng, size=self._options.tournament_size, is_moo=self._options.enable_moo
            )
            ranked.append(winner)
            left.remove(winner)
        return ranked

    def _plan_lesson(
        self, operator: str, index: int, parent: Member, brood: int, spare: int
    ) -> Plan | None:
        """Take failures that were not shown yet, and fresh train items to find more of them."""
        size = self._scale.screening
        while brood > 1 and spare < brood * (2 * size + GUARDED):
            brood -= 1
        room = min(spare - brood * (size + GUARDED), _CHUNK * size * brood)
        if room < size and self._session.train_ids:
            return None
        is_failure = self._breeder.is_failure
        failures = [i for i, r in parent.trained.items() if is_failure(r)]
        study = [item for item in failures if item not in parent.shown][: size * brood]
        seen = [*parent.trained.values(), *parent.evaluation.results]
        rate = sum(map(is_failure, seen)) / len(seen)
        wanted = math.ceil((size * brood - len(study)) / max(rate, 1 / _CHUNK))
        chunk = parent.order[parent.cursor : parent.cursor + min(wanted, room)]
        if self._session.train_ids and not study and not chunk:
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

    def _plan_edit(
        self, operator: str, index: int, parent: Member, spare: int, rng: random.Random
    ) -> Plan | None:
        """Draw an edit of one component that was not made yet."""
        for name in rng.sample(sorted(parent.texts), len(parent.texts)):
            others = [m.texts[name] for m in self._population if m is not parent]
            edited = EDITS[operator](parent.texts[name], others)
            choices = [{**parent.texts, name: text} for text in edited if text.strip()]
            new = [texts for texts in choices if tuple(texts.values()) not in self._made]
            if new:
                return self._ready(operator, index, (parent,), rng.choice(new), spare)
        return None

    def _plan_crossover(self, index: int, spare: int, rng: random.Random) -> Plan | None:
        """Join two members that were not joined yet, where they differ."""
        for first in self._ranked_parents(rng):
            able = [m for m in self._population if m is not first and self._may_mate(first, m)]
            if not able:
                continue
            mate = mate_of(first, able, rng, self._options.tournament_size)
            self._pairs.add(_pair(first, mate))
            better, other = sorted((first, mate), key=lambda m: (-m.score, m.index))
            texts = self._crossed(better, other, rng)
            if texts is None:
                return self._screened(index, "crossover", (better, other), None, spare)
            if tuple(texts.values()) not in self._made:
                return self._ready("crossover", index, (better, other), texts, spare)
        return None

    def _may_mate(self, first: Member, second: Member) -> bool:
        return _pair(first, second) not in self._pairs and first.texts != second.texts

    def _crossed(self, better: Member, other: Member, rng: random.Random) -> dict[str, str] | None:
        """Merge what both changed since their ancestor; ``None`` = the model is to be asked."""
        base = self._ancestor(better, other).texts
        options = self._options
        asks = self._has_model and options.enable_llm_crossover
        if asks and options.enable_semantic_crossover:
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
        return self._members[max(common)]

    def _line(self, member: Member) -> set[int]:
        found, waiting = {member.index}, [*member.parents]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self._members[index].parents
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

    def _close_generation(self) -> None:
        session, population = self._session, self._population
        best = session.best.candidate.id
        self._idle = self._idle + 1 if best == self._best else 0
        self._best = best
        self._generation += 1
        session.record_round(
            generation=self._generation,
            population=[member.candidate.id for member in population],
            diversity=round(diversity(population), 4),
            operators=self._rates.report(),
        )

    def _report(self) -> dict[str, object]:
        """Return what the result says of the search."""
        points = [(member.score, member.tokens) for member in self._members]
        front = sorted(fronts(points)[0], key=lambda i: points[i][1])
        return {
            "population_size": self._scale.population,
            "generations": self._generation,
            "operators": self._rates.report(),
            "pareto_front": [
                {
                    "candidate_id": self._members[i].candidate.id,
                    "score": points[i][0],
                    "tokens": points[i][1],
                    "texts": dict(self._members[i].texts),
                }
                for i in front
            ],
            "knee": self._members[front[knee([points[i] for i in front])]].candidate.id,
        }


def _shares(options: EvolutionaryOptions) -> dict[str, float]:
    """Return the initial share of each operator."""
    total = options.mutation_rate + options.crossover_rate
    mutations = {name: share * options.mutation_rate for name, share in (ASKING | EDITING).items()}
    return {"crossover": options.crossover_rate / total} | {
        name: share / total for name, share in mutations.items()
    }


def _pair(first: Member, second: Member) -> tuple[int, int]:
    low, high = sorted((first.index, second.index))
    return low, high


async def _nothing(plan: Plan) -> Offspring:
    return Offspring(plan=plan, reason="no operator has anything left to do")
