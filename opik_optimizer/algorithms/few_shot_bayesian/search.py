"""The search: plan, choose, show, race; what a race said goes back into the model of plans."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.few_shot_bayesian.choosing import (
    Form,
    Plan,
    PlanSpace,
    choose,
    credits_of,
)
from opik_optimizer.algorithms.few_shot_bayesian.pool import (
    Example,
    Pool,
    Source,
    answer_column,
    text_of,
)
from opik_optimizer.algorithms.few_shot_bayesian.showing import Shown, possible_forms, show
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.candidate import Candidate
from opik_optimizer.columns import columns_of, inputs_of, label_columns
from opik_optimizer.errors import SettingsError
from opik_optimizer.guards import Rejection
from opik_optimizer.pipeline import Failure
from opik_optimizer.racing import RaceOutcome
from opik_optimizer.study import SeededStudy, expected_trials
from opik_optimizer.substitution import substitute

if TYPE_CHECKING:
    import optuna

    from opik_optimizer.evaluation import Evaluation, ItemResult
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

OPERATOR = "demonstrations"
_TRIALS_PER_ROUND = 10
_BOOTSTRAP_SHARE = 0.1
_LEAST_BOOTSTRAP = 4
_FORMS: Mapping[str, tuple[Form, ...]] = {
    "auto": ("messages", "text"),
    "messages": ("messages",),
    "text": ("text",),
}
_SOURCES: Mapping[str, tuple[Source, ...]] = {
    "auto": ("label", "own"),
    "labels": ("label",),
    "own": ("own",),
}


@dataclass(frozen=True, kw_only=True)
class FewShotOptions:
    """Parameters of ``FewShotBayesianOptimizer``; see there."""

    min_examples: int = 2
    max_examples: int = 8
    enable_columnar_selection: bool = True
    enable_diversity: bool = True
    enable_multivariate_tpe: bool = True
    enable_optuna_pruning: bool = True
    form: str = "auto"
    answers: str = "auto"
    answer_column: str | None = None
    answer_template: str | Sequence[str] = "{answer}"
    bootstrap_items: int | None = None
    pool_size: int = 200
    max_characters: int = 2000
    prompt_name: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_examples <= self.max_examples:
            raise SettingsError(
                f"min_examples={self.min_examples!r} and max_examples={self.max_examples!r}",
                remedy="choose 1 <= min_examples <= max_examples",
            )
        for name, known in (("form", _FORMS), ("answers", _SOURCES)):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} is unknown", remedy=f"use one of {[*known]}"
                )
        if self.pool_size < 1 or self.max_characters < 1 or (self.bootstrap_items or 0) < 0:
            raise SettingsError("pool_size, max_characters and bootstrap_items must be positive")
        if not self.wordings or not all("{answer}" in text for text in self.wordings):
            raise SettingsError(
                f"answer_template={self.answer_template!r} does not show the answer",
                remedy='write {answer} where it belongs, as in "Label: {answer}"',
            )

    @property
    def wordings(self) -> tuple[str, ...]:
        """The answer templates."""
        given = self.answer_template
        return (given,) if isinstance(given, str) else tuple(given)


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
        self._name, self._prompt = self._target()
        items = [session.item(item_id) for item_id in session.train_ids]
        self._columns = columns_of(items)
        self._used = [n for n in self._prompt.placeholders(self._columns) if n in self._columns]
        self._pool = await self._make_pool()
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

    def _target(self) -> tuple[str, ChatPrompt]:
        """Return the prompt that gets demonstrations: the one named, else the last."""
        prompts = self.session.seed_candidate.prompts
        name = self.options.prompt_name or [*prompts][-1]
        if name not in prompts:
            raise SettingsError(
                f"there is no prompt {name!r}", remedy=f"prompt_name is one of {sorted(prompts)}"
            )
        return name, prompts[name]

    async def _make_pool(self) -> Pool:
        """Gather examples from train items that nothing is scored on."""
        session, options = self.session, self.options
        scored = {*session.validation_ids}
        said = {self._input_text(session.item(item_id)) for item_id in scored}
        items = {
            item_id: item
            for item_id in session.train_ids
            if item_id not in scored
            and self._input_text(item := session.item(item_id)).strip()
            and self._input_text(item) not in said
        }
        labels = label_columns(self._columns, self._used)
        column = options.answer_column or answer_column(items.values(), labels, self._used)
        ids = sorted(items)
        if len(ids) > options.pool_size:
            ids = sorted(session.rng("pool").sample(ids, options.pool_size))
        tried = await self._bootstrap(ids)
        found = [self._example(i, items[i], column, tried.get(i)) for i in ids]
        examples = tuple(e for e in found if self._is_usable(e))
        if len(examples) < options.min_examples:
            raise SettingsError(
                f"{len(examples)} of {len(session.train_ids)} train items can be shown as "
                f"demonstrations, and min_examples is {options.min_examples}",
                remedy="name the column of expected answers (answer_column), and see to it that "
                "some items are not scored: 20 items or more, or a validation_dataset",
            )
        texts = tuple(self._input_text(example.item) for example in examples)
        return Pool(examples=examples, texts=texts)

    async def _bootstrap(self, ids: Sequence[str]) -> Mapping[str, ItemResult]:
        """Run the initial prompt on some examples: which are hard, and what are good answers?"""
        session, validation = self.session, len(self.session.validation_ids)
        wanted = self.options.bootstrap_items
        if wanted is None:
            left = session.remaining
            trials = expected_trials((left.trials, left.metric_calls), validation)
            wanted = min(validation, int(_BOOTSTRAP_SHARE * trials * validation))
            wanted = wanted if wanted >= _LEAST_BOOTSTRAP else 0
        chosen = session.rng("bootstrap").sample(list(ids), min(wanted, len(ids)))
        if not chosen:
            return {}
        tried = await session.evaluate(session.seed_candidate, sorted(chosen), split="train")
        return {result.item_id: result for result in tried.results}

    def _example(
        self,
        item_id: str,
        item: Mapping[str, object],
        column: str | None,
        tried: ItemResult | None,
    ) -> Example:
        label = text_of(item.get(column)).strip() if column is not None else ""
        own, difficulty = None, 0.5
        if tried is not None and tried.score is not None and tried.is_scored:
            difficulty = min(max(1 - tried.score, 0.0), 1.0)
            if tried.score >= self.session.settings.perfect_score:
                own = text_of(tried.output).strip() or None
        return Example(
            item_id=item_id, item=item, label=label or None, own=own, difficulty=difficulty
        )

    def _is_usable(self, example: Example) -> bool:
        answers = [example.label if "label" in self._wanted_sources else None]
        answers += [example.own if "own" in self._wanted_sources else None]
        longest = max((len(text) for text in answers if text), default=0)
        size = longest + len(self._input_text(example.item))
        return longest > 0 and size <= self.options.max_characters

    @property
    def _wanted_sources(self) -> tuple[Source, ...]:
        return _SOURCES[self.options.answers]

    def _make_space(self) -> PlanSpace:
        options, pool, roles = self.options, self._pool, self.session.settings.roles
        possible = possible_forms(self._prompt, roles)
        forms = tuple(form for form in _FORMS[options.form] if form in possible)
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
            sources=tuple(s for s in pool.sources if s in self._wanted_sources),
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

    def _input_text(self, item: Mapping[str, object]) -> str:
        """Return what the prompt shows of an item: what is compared, and must not be repeated."""
        names = [name for name in self._used if name in item] or [*inputs_of(item)]
        return "\n".join(text_of(item[name]) for name in names)


_Outcome = RaceOutcome | Rejection

__all__ = ["FewShotOptions", "FewShotSearch"]
