"""What a proposal does: reflect on failures, gate the children, join them, race what comes of it.

Everything here runs beside other proposals, so it reads nothing of the search's state: a plan holds
all that was decided at the issue, and a step all that the commit needs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, cast

from pydantic import BaseModel, Field

from opik_optimizer.algorithms.gepa.minibatch import (
    Minibatch,
    guarded_items,
    is_failure,
    shown_items,
)
from opik_optimizer.errors import ReflectionError
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.guards import Rejection
from opik_optimizer.substitution import placeholders_in
from opik_optimizer.text_edits import merge_texts

if TYPE_CHECKING:
    from opik_eval.models.base import Message
    from opik_optimizer.algorithms.gepa.merge import MergePlan
    from opik_optimizer.algorithms.gepa.options import GepaOptions
    from opik_optimizer.algorithms.gepa.pool import Member
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import ItemResult
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

_Results: TypeAlias = "Mapping[str, ItemResult]"
_Made: TypeAlias = "list[tuple[Sequence[str], Candidate | Rejection]]"

MERGE_ITEMS = 5
LEAST_BLOCK = 20


class RewrittenText(BaseModel):
    """What the reflection model replies."""

    prompt: str = Field(description="The new text, complete and ready to use.")


@dataclass(frozen=True, kw_only=True)
class ReflectionPlan:
    """What was decided for a proposal.

    Attributes:
        index: Number of the proposal.
        pool: How many members there were.
        parent: Whom to improve.
        batch: What to look at.
        size: Failures for one reflection.
        known: The parent's results on train items when the proposal was issued.
        components: Texts to rewrite.
        attempts: Texts that were tried on this parent and did not help.
        with_control: Run the parent's failures once more.
    """

    index: int
    pool: int
    parent: Member
    batch: Minibatch
    size: int
    known: Mapping[str, ItemResult]
    components: Mapping[str, str]
    attempts: Sequence[str] = ()
    with_control: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A child on the items of its gate.

    Attributes:
        tested: Its results there.
        gain: Sum of its scores less the parent's.
        passed: It may go on.
        reason: Why, in words.
        repeats: How many of the parent's items ran again, and how many came out otherwise.
    """

    tested: Evaluation
    gain: float
    passed: bool
    reason: str
    repeats: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What came of a proposal.

    Attributes:
        parents: Whom it was made from.
        reason: Why it ended where it did.
        ran: The first parent's results on train items.
        plan: What was decided for it, if it is a reflection.
        attempts: Children at their gates.
        child: The candidate that raced, as far as it came.
        complete: It was run on the whole validation sample.
        operator: How it was made.
    """

    parents: tuple[Member, ...]
    reason: str
    ran: Mapping[str, ItemResult] = field(default_factory=dict)
    plan: ReflectionPlan | None = None
    attempts: Sequence[Attempt] = ()
    child: Evaluation | None = None
    complete: bool = False
    operator: str = "reflection"

    @property
    def passed(self) -> list[Attempt]:
        """Children that passed their gates, those that gained most first."""
        able = [attempt for attempt in self.attempts if attempt.passed]
        return sorted(able, key=lambda attempt: -attempt.gain)


class Proposer:
    """Carries proposals out.

    Args:
        session: The run.
        options: Parameters.
        templates: Texts for the reflection model.
    """

    def __init__(self, session: Session, options: GepaOptions, templates: TemplateLibrary) -> None:
        self._session = session
        self._options = options
        self._templates = templates
        self._perfect = session.settings.perfect_score

    async def reflect(self, plan: ReflectionPlan) -> Step:
        """Show failures of a parent, and gate the children that come of them."""
        parent, ran = plan.parent, dict[str, "ItemResult"]()
        if plan.batch.chunk:
            chunk = plan.batch.chunk
            evaluated = await self._session.evaluate(parent.candidate, chunk, split="train")
            ran = {result.item_id: result for result in evaluated.results}
        known = {**plan.known, **ran}
        directed = self._options.batch_sampler == "fresh_failures"
        shown = shown_items(plan.batch, known, perfect=self._perfect, failures_only=directed)
        skips = self._session.settings.skip_perfect_score and not directed
        nothing = not any(is_failure(known[item], self._perfect) for item in shown)
        if not shown or (skips and nothing):
            return Step(parents=(parent,), reason="the parent failed on none of the items", ran=ran)
        made, again = await asyncio.gather(
            self._children(plan, _groups(shown, plan.size), known),
            self._control(plan, shown, known),
            return_exceptions=True,
        )
        for outcome in (made, again):
            if isinstance(outcome, BaseException):
                raise outcome
        children, repeated = cast("_Made", made), cast("_Results", again)
        usable = [(group, c) for group, c in children if not isinstance(c, Rejection)]
        if not usable:
            refused = [c for _, c in children if isinstance(c, Rejection)]
            reason = "; ".join(f"{c.guard}: {c.reason}" for c in refused)
            return Step(parents=(parent,), reason=reason, ran=ran)
        right = guarded_items(plan.batch, known, shown, perfect=self._perfect) if directed else []
        attempts = await asyncio.gather(
            *(
                self._attempt(plan, child, [*group, *right[k :: len(usable)]], known, repeated)
                for k, (group, child) in enumerate(usable)
            )
        )
        return Step(
            parents=(parent,),
            reason="no child passed its gate",
            ran=ran,
            plan=plan,
            attempts=attempts,
        )

    async def merge(self, plan: MergePlan) -> Step:
        """Join two members, and race what comes of it against the better one."""
        session, pair = self._session, (plan.first, plan.second)
        child = session.propose([m.candidate for m in pair], dict(plan.texts), operator="merge")
        if isinstance(child, Rejection):
            return Step(parents=pair, reason=f"{child.guard}: {child.reason}", operator="merge")
        ids = list(session.validation_ids)
        session.rng("merge", plan.first.index, plan.second.index).shuffle(ids)
        sample = ids[:MERGE_ITEMS]
        tested = await session.evaluate(child, sample)
        rival = max(member.evaluation.on(sample).score for member in pair)
        if tested.score < rival:
            reason = f"merge gate: {tested.score:.3g} against {rival:.3g}"
            return Step(parents=pair, reason=reason, child=tested, operator="merge")
        better = max(pair, key=lambda member: member.score)
        race = await session.race(child, against=better.evaluation, block_size=self._block_size)
        joined = f"merged {plan.first.index} and {plan.second.index}"
        return Step(
            parents=pair,
            reason=f"lost the race after {race.blocks} blocks" if race.dropped else joined,
            child=race.evaluation,
            complete=not race.dropped,
            operator="merge",
        )

    async def _children(
        self,
        plan: ReflectionPlan,
        groups: Sequence[Sequence[str]],
        known: Mapping[str, ItemResult],
    ) -> list[tuple[Sequence[str], Candidate | Rejection]]:
        """Return a child for each group of failures that there is a usable reply to."""
        names = list(plan.components)
        questions = [
            self._question(plan, name, [known[item] for item in group])
            for group in groups
            for name in names
        ]
        replies = await self._session.ask_all(
            questions, RewrittenText, purpose="reflection", repeat=plan.index
        )
        children: list[tuple[Sequence[str], Candidate | Rejection]] = []
        for group, start in zip(groups, range(0, len(replies), len(names)), strict=True):
            answers = zip(names, replies[start : start + len(names)], strict=True)
            texts = {n: r.prompt.strip() for n, r in answers if not isinstance(r, ReflectionError)}
            if texts:
                note = f"{len(group)} failures of {plan.parent.candidate.id[:8]}"
                child = self._session.propose(
                    plan.parent.candidate, texts, operator="reflection", note=note
                )
                children.append((group, child))
        if not children:
            raise next(reply for reply in replies if isinstance(reply, ReflectionError))
        return children

    def _question(
        self, plan: ReflectionPlan, name: str, results: Sequence[ItemResult]
    ) -> list[Message]:
        session, parent, text = self._session, plan.parent.candidate, plan.components[name]
        evaluation = Evaluation(candidate=parent, split="train", results=tuple(results))
        columns = session.item(results[0].item_id)
        everything = parent.components(tools=session.settings.tools)
        return self._templates.messages(
            "reflect",
            component=name,
            text=text,
            others="\n\n".join(other for key, other in everything.items() if key != name),
            task=session.task_context,
            records=[entry.to_text() for entry in session.feedback(evaluation)],
            attempts=list(plan.attempts),
            placeholders=placeholders_in(text, columns),
        )

    async def _control(
        self, plan: ReflectionPlan, shown: Sequence[str], known: Mapping[str, ItemResult]
    ) -> dict[str, ItemResult]:
        """Run the parent's failures once more, if its luck on them is unknown."""
        failures = [item for item in shown if is_failure(known[item], self._perfect)]
        if not plan.with_control or not failures:
            return {}
        again = await self._session.evaluate(
            plan.parent.candidate, failures, split="train", repeat=1
        )
        return {result.item_id: result for result in again.results}

    async def _attempt(
        self,
        plan: ReflectionPlan,
        child: Candidate,
        gate: Sequence[str],
        known: Mapping[str, ItemResult],
        repeated: Mapping[str, ItemResult],
    ) -> Attempt:
        """Run a child on the items of its gate, against the parent's results there."""
        session, parent = self._session, plan.parent.candidate
        tested = await session.evaluate(child, gate, split="train")
        control = [item for item in gate if item in repeated]
        repeats = (len(control), sum(repeated[i].score != known[i].score for i in control))
        before = {item: repeated.get(item, known[item]) for item in gate}
        old = replace(tested, candidate=parent, results=tuple(before.values())).score
        new = tested.score
        equal_is_enough = self._options.acceptance_criterion == "improvement_or_equal"
        return Attempt(
            tested=tested,
            gain=(new - old) * len(gate),
            passed=new > old or (equal_is_enough and new == old),
            reason=f"gate: mean {new:.3g} against {old:.3g} on {len(gate)} train items",
            repeats=repeats,
        )

    async def race(self, step: Step, newer: Member | None) -> Step:
        """Race what the children that passed have in common, or the best of them.

        Args:
            step: A reflection with children that passed their gates.
            newer: A descendant of the parent that was committed since it was planned: what the
                children change is then applied to it.
        """
        assert step.plan is not None
        parent, passed = step.plan.parent, step.passed
        child, joined = self._joined(step.plan, [attempt.tested.candidate for attempt in passed])
        parents: tuple[Member, ...] = (parent,)
        if newer is not None:
            moved = self._moved(parent, newer, child)
            if isinstance(moved, Rejection):
                reason = f"on top of {newer.candidate.id[:8]}: {moved.guard}: {moved.reason}"
                return replace(step, reason=reason)
            if moved is not None:
                child, joined, parents = moved, joined + 1, (parent, newer)
        race = await self._session.race(
            child, against=parents[-1].evaluation, block_size=self._block_size
        )
        reason = passed[0].reason if joined == 1 else f"joins {joined} that passed their gates"
        return replace(
            step,
            parents=parents,
            reason=f"lost the race after {race.blocks} blocks" if race.dropped else reason,
            child=race.evaluation,
            complete=not race.dropped,
            operator="reflection" if joined == 1 else "merge",
        )

    def _moved(
        self, parent: Member, newer: Member, child: Candidate
    ) -> Candidate | Rejection | None:
        """Apply what a child changes to a newer member; ``None`` where their changes touch."""
        roles, tools = self._session.settings.roles, self._session.settings.tools
        base, texts, further = (
            each.components(roles, tools=tools)
            for each in (parent.candidate, newer.candidate, child)
        )
        tries = {name: merge_texts(base[name], texts[name], further[name]) for name in base}
        merged = {name: text for name, text in tries.items() if text is not None}
        if len(merged) < len(base):
            return None
        note = f"what {child.id[:8]} changes, on top of {newer.candidate.id[:8]}"
        parents = [newer.candidate, child]
        return self._session.propose(parents, merged, operator="merge", note=note)

    def _joined(self, plan: ReflectionPlan, children: Sequence[Candidate]) -> tuple[Candidate, int]:
        """Join siblings, best first, as far as their changes do not touch; say how many."""
        roles, tools = self._session.settings.roles, self._session.settings.tools
        base = plan.parent.candidate.components(roles, tools=tools)
        texts = children[0].components(roles, tools=tools)
        used = [children[0]]
        for other in children[1:]:
            further = other.components(roles, tools=tools)
            tries = {name: merge_texts(base[name], texts[name], further[name]) for name in base}
            merged = {name: text for name, text in tries.items() if text is not None}
            if len(merged) == len(base) and merged not in (texts, further):
                texts = merged
                used.append(other)
        if len(used) == 1:
            return children[0], 1
        note = f"{len(used)} siblings that passed their gates"
        child = self._session.propose(used, texts, operator="merge", note=note)
        return (children[0], 1) if isinstance(child, Rejection) else (child, len(used))

    @property
    def _block_size(self) -> int:
        """A look costs the time of an answer: fewer than ``LEAST_BLOCK`` items are not worth it."""
        return max(LEAST_BLOCK, math.ceil(len(self._session.validation_ids) / 4))


def _groups(items: Sequence[str], size: int) -> list[Sequence[str]]:
    """Deal items out to as many groups of at most ``size`` as they fill."""
    count = math.ceil(len(items) / size)
    return [items[k::count] for k in range(count)]
