"""One GEPA search: what is decided when a proposal is issued, and when it is committed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.gepa.merge import MergePlan, ancestors_of, plan_merge
from opik_optimizer.algorithms.gepa.minibatch import (
    GUARDED_SUCCESSES,
    LEAST_RATE,
    Minibatch,
    Room,
    begin_again,
    plan_epoch,
    plan_fresh_failures,
    plan_rest,
)
from opik_optimizer.algorithms.gepa.pool import Member, choose_parent, front_counts
from opik_optimizer.algorithms.gepa.proposal import Attempt, Proposer, ReflectionPlan, Step
from opik_optimizer.budget import Lease, LeaseSize

if TYPE_CHECKING:
    from opik_optimizer.algorithms.gepa.options import GepaOptions
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.pipeline import Failure
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

_ATTEMPTS_SHOWN = 3
_NOISE_CHECKS = 6
_GENERATIONS = 8
_IN_FLIGHT = 2
"""Two lose nothing: each shows other failures, and the second builds on what the first found."""


class GepaSearch:
    """The state of one search, and its decisions.

    Args:
        session: The run.
        options: Parameters.
        templates: Texts for the reflection model.
    """

    def __init__(self, session: Session, options: GepaOptions, templates: TemplateLibrary) -> None:
        self._session = session
        self._options = options
        self._proposer = Proposer(session, options, templates)
        self._size = session.settings.n_samples_minibatch or options.reflection_minibatch_size
        self._siblings = self._affordable_siblings()
        self._perfect = session.settings.perfect_score
        self._members: list[Member] = []
        self._texts: list[dict[str, str]] = []
        self._tried: dict[int, list[str]] = {}
        self._repeats = [0, 0]
        self._merges_due = self._merges = 0
        self._merged: set[tuple[int, int]] = set()
        self._idle = 0
        self._given: dict[int, Minibatch] = {}  # the last one under way, by number of the parent
        self._add(session.baseline, ())

    async def run(self) -> None:
        """Search until the budget is spent."""
        session = self._session
        if not self._texts[0]:
            session.stop("completed")
            return
        validation, shown = len(session.validation_ids), self._size * self._siblings
        # The parent on a chunk, those shown twice more, the guarded successes, and the race. What
        # races is a new candidate, but for the single child of a proposal with none beside it.
        chunk = min(int(shown / LEAST_RATE), len(session.train_ids))
        train = chunk + 2 * shown + self._guarded
        await session.pipeline(
            self.issue,
            self.commit,
            finish=self.finish,
            in_flight=_IN_FLIGHT if self._siblings > 1 else 1,
            lease=LeaseSize(
                metric_calls=train + validation,
                least_metric_calls=2 * self._size + self._guarded + validation,
                trials=self._siblings + 1,
                least_trials=self._siblings + (self._siblings > 1),
            ),
        )

    @property
    def _guarded(self) -> int:
        return GUARDED_SUCCESSES * self._siblings

    def _affordable_siblings(self) -> int:
        """Where trials are what is scarce, one child at a time makes the most of them."""
        trials, siblings = self._session.remaining.trials, self._options.siblings
        if trials is not None and trials < _GENERATIONS * (siblings + 1):
            return 1
        return siblings

    def issue(self, index: int, lease: Lease) -> Coroutine[object, object, Step] | None:
        """Decide on a proposal, from what is committed."""
        limit = self._options.no_improvement_iterations
        if limit is not None and self._idle >= limit:
            self._session.stop("no_improvement")
            return None
        merge = self._plan_merge(index)
        if merge is not None:
            return self._proposer.merge(merge)
        with_control = self._repeats[0] < _NOISE_CHECKS or self._repeats[1] > 0
        calls = lease.metric_calls - len(self._session.validation_ids) - self._guarded
        parent, batch = self._plan(index, Room(calls=calls, runs=1 + with_control))
        if batch is None:
            return None
        most_shown = min(batch.size, len(batch.known) + len(batch.chunk))
        rest = self._guarded + len(self._session.validation_ids)
        lease.shrink(len(batch.chunk) + (1 + with_control) * most_shown + rest)
        tried = self._tried.get(parent.index, [])
        return self._proposer.reflect(
            ReflectionPlan(
                index=index,
                pool=len(self._members),
                parent=parent,
                batch=batch,
                size=self._size,
                known=dict(parent.trained),
                components=self._components(parent),
                attempts=tuple(tried[-_ATTEMPTS_SHOWN:]),
                with_control=with_control,
            )
        )

    async def finish(self, _: int, step: Step) -> Step:
        """Race what passed its gate, on top of what was committed in the meantime."""
        plan = step.plan
        if plan is None or not step.passed:
            return step
        newer = [
            member
            for member in self._members[plan.pool :]
            if plan.parent.index in ancestors_of(member, self._members)
        ]
        return await self._proposer.race(step, max(newer, key=lambda m: m.score, default=None))

    def commit(self, _: int, outcome: Step | Failure) -> None:
        """Take in what came of a proposal."""
        session = self._session
        if not isinstance(outcome, Step):
            session.record_failure(str(outcome), operator="reflection")
            self._idle += 1
            return
        parent = outcome.parents[0]
        parent.trained.update(outcome.ran)
        self._given.pop(parent.index, None)
        for attempt in outcome.attempts:
            self._take(parent, attempt, outcome.child)
        is_better = False
        if outcome.child is not None:
            is_better = outcome.complete and session.consider(outcome.child)
            session.record_trial(outcome.child, accepted=outcome.complete, reason=outcome.reason)
        elif not outcome.attempts:
            session.record_failure(outcome.reason, operator=outcome.operator)
        self._idle = 0 if is_better else self._idle + 1
        if outcome.child is not None and outcome.complete:
            self._add(outcome.child, tuple(parent.index for parent in outcome.parents))
            self._merges_due += len(outcome.parents) == 1
        elif outcome.child is not None and len(outcome.parents) == 1:
            self._note_try(parent, outcome.child)

    def _take(self, parent: Member, attempt: Attempt, raced: Evaluation | None) -> None:
        """Record a child at its gate, unless it went on to the race itself."""
        self._repeats[0] += attempt.repeats[0]
        self._repeats[1] += attempt.repeats[1]
        if raced is not None and raced.candidate == attempt.tested.candidate:
            return
        self._session.record_trial(attempt.tested, accepted=False, reason=attempt.reason)
        if not attempt.passed:
            self._note_try(parent, attempt.tested)

    def _note_try(self, parent: Member, child: Evaluation) -> None:
        texts = child.candidate.components(
            self._session.settings.roles, tools=self._session.settings.tools
        )
        changed = [t for name, t in texts.items() if t != self._texts[parent.index].get(name)]
        self._tried.setdefault(parent.index, []).append("\n\n".join(changed))

    def _add(self, evaluation: Evaluation, parents: tuple[int, ...]) -> None:
        session = self._session
        index = len(self._members)
        order = list(session.train_ids)
        session.rng("order", index).shuffle(order)
        member = Member(index=index, evaluation=evaluation, parents=parents, order=tuple(order))
        self._members.append(member)
        settings = session.settings
        self._texts.append(evaluation.candidate.components(settings.roles, tools=settings.tools))

    def _plan(self, index: int, room: Room) -> tuple[Member, Minibatch | None]:
        """Choose the parent, and what to show of it; another parent where it has nothing new."""
        options, rng = self._options, self._session.rng("parent", index)
        size, perfect = self._size * self._siblings, self._perfect
        able = list(self._members)
        while able:
            parent = choose_parent(
                able,
                rng,
                choice=options.candidate_selection_strategy,
                kind=options.frontier_type,
                greedy_share=options.greedy_share,
            )
            if options.batch_sampler == "epoch_shuffled":
                return parent, plan_epoch(parent, size=size, rng=rng, room=room)
            batch = plan_fresh_failures(parent, size=size, perfect=perfect, rng=rng, room=room)
            if batch is not None:
                self._given[parent.index] = batch
                return parent, batch
            if (left := self._given.get(parent.index)) and (rest := plan_rest(left)):
                self._given[parent.index] = rest
                return parent, rest
            able.remove(parent)
        parent = max(self._members, key=lambda member: (member.score, -member.index))
        begin_again(parent, rng)
        batch = plan_fresh_failures(parent, size=size, perfect=perfect, rng=rng, room=room)
        return parent, batch

    def _plan_merge(self, index: int) -> MergePlan | None:
        options = self._options
        left = options.max_merge_invocations - self._merges
        if not options.use_merge or left <= 0 or self._merges_due <= 0:
            return None
        able = list(front_counts(self._members, options.frontier_type))
        rng = self._session.rng("merge", index)
        plan = plan_merge(self._members, able, self._texts, done=self._merged, rng=rng)
        if plan is not None:
            self._merges += 1
            self._merges_due -= 1
        return plan

    def _components(self, parent: Member) -> dict[str, str]:
        texts = self._texts[parent.index]
        if self._options.module_selector == "all":
            return dict(texts)
        names = list(texts)
        parent.turn += 1
        name = names[(parent.turn - 1) % len(names)]
        return {name: texts[name]}
