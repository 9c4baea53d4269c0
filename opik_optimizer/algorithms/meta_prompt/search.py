"""One meta-prompting search: rounds of proposals from history, failures and patterns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.errors import ReflectionError
from opik_optimizer.guards import Rejection

if TYPE_CHECKING:
    from opik_optimizer.algorithms.meta_prompt.options import MetaPromptOptions
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.pipeline import Failure
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

_FEWEST_FOR_PATTERNS = 2
_MOST_PATTERNS = 5
_SYNTHESIZED = 3


class Proposal(BaseModel):
    """One new text."""

    prompt: str = Field(description="The new text, complete and ready to use.")
    idea: str = Field(default="", description="What is new about it, in a few words.")


class Proposals(BaseModel):
    """What the reflection model replies to ``propose`` and ``synthesize``."""

    prompts: list[Proposal] = Field(min_length=1)


class Patterns(BaseModel):
    """What the reflection model replies to ``patterns``."""

    traits: list[str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A text of the history, as templates show it."""

    text: str
    score: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a round does, decided at its issue.

    Attributes:
        component: The text to rewrite.
        item_ids: Train items to run the incumbent on.
        patterns: Known traits.
        extracts: Ask for traits first.
        synthesizes: Ask for a synthesis too.
    """

    index: int
    best: Evaluation
    component: str
    item_ids: tuple[str, ...]
    history: tuple[Entry, ...]
    leaders: tuple[Entry, ...]
    patterns: tuple[str, ...]
    extracts: bool
    synthesizes: bool


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One candidate of a round, and what became of it."""

    evaluation: Evaluation
    complete: bool
    reason: str


@dataclass(kw_only=True)
class RoundOutcome:
    """What a round brought."""

    attempts: list[Attempt] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    patterns: tuple[str, ...] = ()


class MetaPromptSearch:
    """The state of one search, and its decisions.

    Args:
        session: The run.
        options: Parameters.
        templates: Texts for the reflection model.
    """

    def __init__(
        self, session: Session, options: MetaPromptOptions, templates: TemplateLibrary
    ) -> None:
        self._session = session
        self._options = options
        self._templates = templates
        self._patterns: tuple[str, ...] = ()
        self._extracted: int | None = None
        self._idle = 0
        self._order = list(session.train_ids)
        session.rng("order").shuffle(self._order)
        self._shown = session.settings.n_samples_minibatch or options.num_task_examples
        settings = session.settings
        self._names = list(session.seed_candidate.components(settings.roles, tools=settings.tools))

    async def run(self) -> None:
        """Work round by round until the budget is spent."""
        options, validation = self._options, len(self._session.validation_ids)
        most = options.prompts_per_round + options.synthesis_prompts
        screening = self._shown * (1 + most)
        await self._session.pipeline(
            self.issue,
            self.commit,
            lease=LeaseSize(
                metric_calls=screening + options.races_per_round * validation,
                trials=most,
                least_metric_calls=2 * self._shown + validation,
                least_trials=1,
            ),
        )

    def issue(self, index: int, lease: Lease) -> Coroutine[object, object, RoundOutcome] | None:
        """Decide on a round, from what is committed."""
        session, options = self._session, self._options
        patience = options.no_improvement_rounds
        if patience is not None and self._idle >= patience:
            session.stop("no_improvement")
            return None
        if not self._names:
            return None
        component = self._names[index % len(self._names)]
        ranked = sorted(session.complete, key=lambda e: e.score)
        leaders = ranked[-options.hall_of_fame_size :] if options.use_hall_of_fame else []
        enough = len(leaders) >= _FEWEST_FOR_PATTERNS
        plan = Plan(
            index=index,
            best=session.best,
            component=component,
            item_ids=self._next_items(index),
            history=self._entries(ranked[-options.history_size :], component)
            if options.history_size
            else (),
            leaders=self._entries(leaders, component),
            patterns=self._patterns,
            extracts=enough and self._is_due(index),
            synthesizes=enough and options.synthesis_prompts > 0,
        )
        return self._round(plan, lease.remaining.trials)

    def commit(self, _: int, outcome: RoundOutcome | Failure) -> None:
        """Take in what a round brought."""
        session = self._session
        if not isinstance(outcome, RoundOutcome):
            session.record_failure(str(outcome), operator="meta_prompt")
            self._idle += 1
            session.record_round(failed=str(outcome))
            return
        is_better = False
        for attempt in sorted(outcome.attempts, key=lambda a: a.complete):
            kept = attempt.complete and session.consider(attempt.evaluation)
            is_better = is_better or kept
            session.record_trial(attempt.evaluation, accepted=kept, reason=attempt.reason)
        self._patterns = outcome.patterns or self._patterns
        self._idle = 0 if is_better else self._idle + 1
        session.record_round(patterns=list(self._patterns), refused=outcome.refused)

    def _is_due(self, index: int) -> bool:
        """Tell whether it is time to extract patterns, and note it."""
        last, interval = self._extracted, self._options.pattern_extraction_interval
        if last is not None and index - last < interval:
            return False
        self._extracted = index
        return True

    def _next_items(self, index: int) -> tuple[str, ...]:
        """Return the next train items to learn from, going round."""
        size = min(self._shown, len(self._order))
        start = index * size
        return tuple(self._order[(start + n) % len(self._order)] for n in range(size))

    def _entries(self, evaluations: Sequence[Evaluation], component: str) -> tuple[Entry, ...]:
        settings = self._session.settings
        found = {
            e.candidate.components(settings.roles, tools=settings.tools)[component]: e.score
            for e in evaluations
        }
        return tuple(Entry(text=text, score=f"{score:.3f}") for text, score in found.items())

    async def _round(self, plan: Plan, most: int | None) -> RoundOutcome:
        """Propose, screen on train items, and race the best of the screening."""
        session, options = self._session, self._options
        outcome = RoundOutcome(patterns=plan.patterns)
        shown: Evaluation | None = None
        if plan.item_ids:
            shown = await session.evaluate(plan.best.candidate, plan.item_ids, split="train")
        if plan.extracts:
            outcome.patterns = await self._extract(plan)
        candidates = await self._propose(plan, outcome, shown)
        candidates = candidates[: most if most is not None else len(candidates)]
        screened = await asyncio.gather(*(self._screen(c, plan) for c in candidates))
        bar = shown.score if shown is not None else 0.0
        ranked = sorted(
            zip(candidates, screened, strict=True),
            key=lambda pair: pair[1].score if pair[1] is not None else 0.0,
            reverse=True,
        )
        racing: list[Candidate] = []
        for candidate, tested in ranked:
            if tested is None or (tested.score >= bar and len(racing) < options.races_per_round):
                racing.append(candidate)
            else:
                reason = f"screening: {tested.score:.3g} on train items, the best has {bar:.3g}"
                outcome.attempts.append(Attempt(evaluation=tested, complete=False, reason=reason))
        races = await asyncio.gather(*(session.race(c, against=plan.best) for c in racing))
        for race in races:
            score = race.evaluation.score
            reason = f"{score:.3g} against {plan.best.score:.3g}"
            if race.dropped:
                reason = f"lost the race after {race.blocks} blocks"
            outcome.attempts.append(
                Attempt(evaluation=race.evaluation, complete=not race.dropped, reason=reason)
            )
        return outcome

    async def _screen(self, candidate: Candidate, plan: Plan) -> Evaluation | None:
        if not plan.item_ids:
            return None
        return await self._session.evaluate(candidate, plan.item_ids, split="train")

    async def _propose(
        self, plan: Plan, outcome: RoundOutcome, shown: Evaluation | None
    ) -> list[Candidate]:
        session, options = self._session, self._options
        texts = plan.best.candidate.components()
        common = {"task": session.task_context, "component": plan.component}
        asked = [
            self._ask(
                "propose",
                plan,
                **common,
                text=texts[plan.component],
                score=f"{plan.best.score:.3f}",
                others="\n\n".join(t for name, t in texts.items() if name != plan.component),
                history=[vars(entry) for entry in plan.history],
                records=[f.to_text() for f in session.feedback(shown)] if shown else [],
                patterns=list(outcome.patterns),
                number=options.prompts_per_round,
            )
        ]
        if plan.synthesizes:
            entries = [vars(entry) for entry in plan.leaders[-_SYNTHESIZED:]]
            number = options.synthesis_prompts
            asked.append(self._ask("synthesize", plan, **common, entries=entries, number=number))
        replies = await asyncio.gather(*asked, return_exceptions=True)
        candidates: dict[str, Candidate] = {}
        operators = ("meta_prompt", "synthesis")
        for operator, reply in zip(operators, replies, strict=False):
            if isinstance(reply, BaseException):
                if operator == "meta_prompt" or not isinstance(reply, ReflectionError):
                    raise reply
                outcome.refused.append(str(reply))
                continue
            for proposal in reply.prompts:
                child = self._child(plan, proposal, operator)
                if isinstance(child, Rejection):
                    outcome.refused.append(f"{child.guard}: {child.reason}")
                else:
                    candidates.setdefault(child.id, child)
        return list(candidates.values())

    def _child(self, plan: Plan, proposal: Proposal, operator: str) -> Candidate | Rejection:
        return self._session.propose(
            plan.best.candidate,
            {plan.component: proposal.prompt.strip()},
            operator=operator,
            note=proposal.idea or None,
        )

    async def _ask(self, template: str, plan: Plan, **values: object) -> Proposals:
        messages = self._templates.messages(template, **values)
        return await self._session.ask(messages, Proposals, purpose=template, repeat=plan.index)

    async def _extract(self, plan: Plan) -> tuple[str, ...]:
        """Ask what the leaders have in common; without a usable reply the old traits stand."""
        messages = self._templates.messages(
            "patterns",
            task=self._session.task_context,
            entries=[vars(entry) for entry in plan.leaders],
            number=_MOST_PATTERNS,
        )
        try:
            reply = await self._session.ask(
                messages, Patterns, purpose="patterns", repeat=plan.index, analysis=True
            )
        except ReflectionError:  # told of by its event; the round goes on without
            return plan.patterns
        return tuple(reply.traits[:_MOST_PATTERNS])
