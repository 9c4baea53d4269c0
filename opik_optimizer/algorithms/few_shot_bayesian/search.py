"""The search: plan, choose, show, race; what a race said goes back into the model of plans."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.few_shot_bayesian.choosing import (
    Plan,
    PlanSpace,
    choose,
    credits_of,
)
from opik_optimizer.algorithms.few_shot_bayesian.gathering import Gathering
from opik_optimizer.algorithms.few_shot_bayesian.options import FORMS, SOURCES, FewShotOptions
from opik_optimizer.algorithms.few_shot_bayesian.pool import Example
from opik_optimizer.algorithms.few_shot_bayesian.showing import Shown, possible_forms, show
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.guards import Rejection
from opik_optimizer.pipeline import Failure
from opik_optimizer.racing import RaceOutcome
from opik_optimizer.study import SeededStudy, expected_trials
from opik_optimizer.substitution import substitute

if TYPE_CHECKING:
    import optuna

    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

OPERATOR = "demonstrations"
_TRIALS_PER_ROUND = 10


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """A proposal, to be told to the study when it is committed."""

    trial: optuna.Trial
    plan: Plan
    chosen: tuple[int, ...]


@dataclass
class FewShotSearch:
    """One search. Decisions are made at issue, on what is committed by then.

    Args:
        session: What it works on.
        options: The optimizer's parameters.
        templates: The texts around demonstrations.
    """

    session: Session
    options: FewShotOptions
    templates: TemplateLibrary
    _attempts: dict[int, _Attempt] = field(default_factory=dict, init=False)
    _tried: list[tuple[tuple[int, ...], float]] = field(default_factory=list, init=False)
    _sets: dict[str, tuple[int, ...]] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Search until the budget is spent."""
        session = self.session
        gathering = Gathering(session, self.options)
        self._name, self._prompt = gathering.name, gathering.prompt
        self._columns = gathering.columns
        self._pool = await gathering.pool()
        self._space = self._make_space()
        size = len(session.validation_ids)
        left = session.remaining
        self._study = SeededStudy(
            seed=session.rng("study").randrange(2**32),
            trials=expected_trials((left.trials, left.metric_calls), size),
            is_multivariate=self.options.enable_multivariate_tpe,
        )
        for plan in self._space.first_plans():
            self._study.enqueue(plan)
        await session.pipeline(self._issue, self._commit, lease=LeaseSize(metric_calls=size))

    def _make_space(self) -> PlanSpace:
        options, pool, roles = self.options, self._pool, self.session.settings.roles
        possible = possible_forms(self._prompt, roles)
        forms = tuple(form for form in FORMS[options.form] if form in possible)
        if not forms:
            raise SettingsError(
                f"demonstrations as {options.form!r} cannot be put into prompt {self._name!r}: "
                f"messages of the roles {', '.join(roles) or 'none'} may change",
                remedy="pass optimize_prompts='all' (demonstrations as messages), or 'system'",
            )
        return PlanSpace(
            least=options.min_examples,
            most=min(options.max_examples, len(pool)),
            forms=forms,
            sources=tuple(s for s in pool.sources if s in SOURCES[options.answers]),
            wordings=len(options.wordings),
            can_balance=options.enable_columnar_selection and pool.classes is not None,
            is_diverse=options.enable_diversity,
            knows_difficulty=pool.knows_difficulty,
        )

    def _issue(self, index: int, lease: Lease) -> Coroutine[object, object, _Outcome]:
        _ = lease  # it pays for what the coroutine does
        trial = self._study.ask()
        plan = self._space.suggest(trial)
        best = self.session.best.candidate
        chosen = choose(
            self._pool,
            plan,
            rng=self.session.rng("choose", index),
            credit=credits_of(self._tried),
            best=self._sets.get(best.id, ()),
        )
        self._attempts[index] = _Attempt(trial=trial, plan=plan, chosen=tuple(chosen))
        parents = [self.session.seed_candidate]
        if plan.origin == "edit" and best.id in self._sets:
            parents.append(best)
        candidate = self.session.propose(
            parents,
            {self._name: self._shown(plan, chosen)},
            operator=OPERATOR,
            note=plan.describe(),
        )
        return self._run(candidate)

    async def _run(self, candidate: Candidate | Rejection) -> _Outcome:
        if isinstance(candidate, Rejection):
            return candidate
        if self.options.enable_optuna_pruning:
            return await self.session.race(candidate)
        whole = await self.session.evaluate(candidate)
        return RaceOutcome(evaluation=whole, dropped=False, p_worse=1.0, blocks=1)

    def _commit(self, index: int, outcome: _Outcome | Failure) -> None:
        attempt = self._attempts.pop(index)
        if isinstance(outcome, RaceOutcome):
            self._learn(attempt, outcome)
        else:
            self._study.fail(attempt.trial)
            if not isinstance(outcome, Rejection):
                self.session.record_failure(str(outcome), operator=OPERATOR)
        if index % _TRIALS_PER_ROUND == _TRIALS_PER_ROUND - 1:
            self.session.record_round(best_candidate=self.session.best.candidate.id)

    def _learn(self, attempt: _Attempt, outcome: RaceOutcome) -> None:
        session, evaluation = self.session, outcome.evaluation
        self._sets[evaluation.candidate.id] = attempt.chosen
        self._tried.append((attempt.chosen, self._gain(evaluation)))
        accepted = not outcome.dropped and session.consider(evaluation)
        if outcome.dropped:
            self._study.prune(attempt.trial, evaluation.score, step=outcome.blocks)
        else:
            self._study.complete(attempt.trial, evaluation.score)
            session.details_of[evaluation.candidate.id] = self._details(attempt)
        reason = "the best so far" if accepted else "no better than the best so far"
        if outcome.dropped:
            reason = f"worse after {outcome.blocks} blocks (p = {outcome.p_worse:.3f})"
        session.record_trial(evaluation, accepted=accepted, reason=reason)

    def _gain(self, evaluation: Evaluation) -> float:
        """Return by how much it is better than the initial prompt, on the items it was run on."""
        before = self.session.baseline.scores_by_item
        return fmean(score - before[item] for item, score in evaluation.scores_by_item.items())

    def _details(self, attempt: _Attempt) -> dict[str, object]:
        return {
            "demonstrations": [self._pool.examples[index].item_id for index in attempt.chosen],
            "plan": attempt.plan.describe(),
        }

    def _shown(self, plan: Plan, chosen: Sequence[int]) -> ChatPrompt:
        shown = [self._demonstration(self._pool.examples[index], plan) for index in chosen]
        return show(
            self._prompt,
            shown,
            plan.form,
            roles=self.session.settings.roles,
            columns=self._columns,
            templates=self.templates,
        )

    def _demonstration(self, example: Example, plan: Plan) -> Shown:
        answer = example.answer(plan.source)
        if answer == example.label and answer != example.own:
            wording = self.options.wordings[plan.wording]
            answer = substitute(wording, {**example.item, "answer": answer})
        return Shown(item=example.item, answer=answer)


_Outcome = RaceOutcome | Rejection

__all__ = ["FewShotSearch"]
