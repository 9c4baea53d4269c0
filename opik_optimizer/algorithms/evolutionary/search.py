"""One evolutionary search: what is decided when a proposal is issued, and when it is committed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.evolutionary.offspring import GUARDED, Breeder, Offspring, Plan
from opik_optimizer.algorithms.evolutionary.options import Scale
from opik_optimizer.algorithms.evolutionary.planning import CHUNK, Planner
from opik_optimizer.algorithms.evolutionary.population import (
    Member,
    diversity,
    dominates,
    fronts,
    knee,
)
from opik_optimizer.algorithms.evolutionary.rates import OperatorRates
from opik_optimizer.budget import Lease, LeaseSize

if TYPE_CHECKING:
    from opik_optimizer.algorithms.evolutionary.options import EvolutionaryOptions
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.pipeline import Failure
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

ASKING = {"repair": 0.9, "simplify": 0.05, "rethink": 0.05}
"""Mutations by the reflection model, and their initial shares among them."""
EDITING = {
    "drop": 0.25,
    "instruct": 0.25,
    "borrow": 0.3,
    "move": 0.1,
    "replace": 0.1,
}
"""Mutations without a model, likewise."""

_EDITS_BESIDE_MODEL = 0.1
_MOST_UNUSABLE = 3


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
        self._planner = Planner(session, options, self._scale, self._breeder.is_failure)
        self._has_model = has_model
        self._rates = self._new_rates()
        self._is_trusted = False
        self._unusable = 0
        self._operators: dict[int, str] = {}
        self._generation = self._idle = 0
        self._best = session.best.candidate.id
        self._planner.add(session.baseline, ())

    async def run(self) -> None:
        """Evolve until the budget is spent or the generations are over."""
        session, scale = self._session, self._scale
        if not self._planner.members[0].texts:
            session.stop("completed")
            return
        screening = scale.brood * (CHUNK * scale.screening + scale.screening + GUARDED)
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
        asks = self._has_model and self._options.enable_llm_crossover
        able = self._rates.operators
        while (operator := self._rates.draw(rng, able)) is not None:
            plan = self._planner.plan(operator, index, lease, rng, asks=asks)
            if plan is not None:
                self._operators[index] = operator
                return self._breeder.breed(plan)
            able.remove(operator)
        return _nothing(Plan(index=index, operator="none", parents=(self._planner.members[0],)))

    def commit(self, index: int, outcome: Offspring | Failure) -> None:
        """Take in what came of a proposal."""
        session = self._session
        operator = self._operators.pop(index, None)
        is_success = False
        if not isinstance(outcome, Offspring):
            session.record_failure(str(outcome), operator=operator or "")
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
        if plan.texts is None:
            self._note_reply(is_usable=bool(found.screened or found.raced), failed=found.refused)
        raced = found.raced
        for screen in found.screened:
            if raced is None or screen.evaluation.candidate != raced.candidate:
                session.record_trial(screen.evaluation, accepted=False, reason=screen.reason)
                if not screen.passed:
                    self._planner.note_try(plan.parent, screen.evaluation)
        if raced is None:
            if not found.screened:
                session.record_failure(found.reason, operator=plan.operator)
            return False
        survives = False
        if found.complete:
            session.consider(raced)
            member = self._planner.add(raced, tuple(parent.index for parent in plan.parents))
            survives = member in self._planner.population
        session.record_trial(raced, accepted=survives, reason=found.reason)
        if not found.complete or raced.score < plan.parent.score:
            self._planner.note_try(plan.parent, raced)
        return found.complete and self._is_better(raced, plan.parent)

    def _is_better(self, child: Evaluation, parent: Member) -> bool:
        if not self._options.enable_moo:
            return child.score > parent.score
        mine, theirs = (child.score, child.candidate.tokens), (parent.score, parent.tokens)
        return child.score > parent.score or dominates(mine, theirs)

    def _note_reply(self, *, is_usable: bool, failed: list[str]) -> None:
        """Do without the reflection model once its first proposals were all unusable."""
        self._is_trusted = self._is_trusted or is_usable
        if self._is_trusted or not failed:
            return
        self._unusable += len(failed)
        if self._has_model and self._unusable >= _MOST_UNUSABLE:
            self._has_model = False
            self._rates = self._new_rates()
            self._session.details["reflection_model"] = (
                f"given up: none of its first {self._unusable} proposals could be used "
                f"({failed[0]})"
            )

    def _new_rates(self) -> OperatorRates:
        """Return the initial shares of all operators that can be used."""
        options = self._options
        asks = self._has_model and options.enable_llm_mutation
        edits = _EDITS_BESIDE_MODEL if asks else 1.0
        mutations = {name: edits * share for name, share in EDITING.items()}
        if asks:
            mutations |= {name: (1 - edits) * share for name, share in ASKING.items()}
        shares = {name: options.mutation_rate * share for name, share in mutations.items()}
        shares["crossover"] = options.crossover_rate
        return OperatorRates(shares, is_adaptive=options.adaptive_mutation)

    def _close_generation(self) -> None:
        session, population = self._session, self._planner.population
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
        points = [(member.score, member.tokens) for member in self._planner.members]
        front = sorted(fronts(points)[0], key=lambda i: points[i][1])
        return {
            "population_size": self._scale.population,
            "generations": self._generation,
            "operators": self._rates.report(),
            "pareto_front": [
                {
                    "candidate_id": self._planner.members[i].candidate.id,
                    "score": points[i][0],
                    "tokens": points[i][1],
                    "texts": dict(self._planner.members[i].texts),
                }
                for i in front
            ],
            "knee": self._planner.members[front[knee([points[i] for i in front])]].candidate.id,
        }


async def _nothing(plan: Plan) -> Offspring:
    return Offspring(plan=plan, reason="no operator has anything left to do")
