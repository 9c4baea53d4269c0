"""How offspring come about: a lesson, a brood of children, their screening, one race.

Everything here runs beside other proposals and reads nothing of the search's state: a plan holds
all that was decided at the issue, and ``Offspring`` all that the commit needs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from opik_optimizer.errors import ReflectionError
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.guards import Rejection
from opik_optimizer.substitution import placeholders_in
from opik_optimizer.text_edits import merge_texts, pieces_of

if TYPE_CHECKING:
    from opik_eval.models.base import Message
    from opik_optimizer.algorithms.evolutionary.population import Member
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import ItemResult
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

GUARDED = 2
"""Train items that the parent gets right, on which a rewritten child is screened too."""


class NewText(BaseModel):
    """What the reflection model replies."""

    prompt: str = Field(description="The new text, complete and ready to use.")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided for a proposal.

    Attributes:
        index: Number of the proposal.
        operator: How the children are made.
        parents: Whom they are made from; the first one is the better one, and what they must beat.
        texts: Of the child, where it is made without a model.
        known: The first parent's results on train items.
        study: Failures among them to learn from.
        chunk: Train items to run the first parent on.
        brood: Most children.
        size: Failures for one child; without failures, items to screen on.
        attempts: Texts that were made from this parent and did not help.
    """

    index: int
    operator: str
    parents: tuple[Member, ...]
    texts: Mapping[str, str] | None = None
    known: Mapping[str, ItemResult] = field(default_factory=dict)
    study: tuple[str, ...] = ()
    chunk: tuple[str, ...] = ()
    brood: int = 1
    size: int = 0
    attempts: tuple[str, ...] = ()

    @property
    def parent(self) -> Member:
        """Whom the children must beat."""
        return self.parents[0]


@dataclass(frozen=True, kw_only=True)
class Screened:
    """A child on the train items of its screening.

    Attributes:
        evaluation: Its results there.
        gain: Sum of its scores less the parent's.
        passed: It may go on.
        reason: Why, in words.
    """

    evaluation: Evaluation
    gain: float
    passed: bool
    reason: str


@dataclass(kw_only=True)
class Offspring:
    """What came of a proposal.

    Attributes:
        plan: What was decided.
        ran: The first parent's results on train items.
        shown: Failures that the reflection model saw.
        screened: Children on train items.
        refused: Why children were refused or did not come about.
        raced: The child that went on to the validation sample, as far as it came.
        complete: It was run on all of it.
        reason: Why it ended where it did.
    """

    plan: Plan
    ran: Mapping[str, ItemResult] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    screened: list[Screened] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    raced: Evaluation | None = None
    complete: bool = False
    reason: str = ""


class Breeder:
    """Carries plans out.

    Args:
        session: The run.
        templates: Texts for the reflection model.
        style: What answers should look like.
        is_free: Crossovers by the model may reword what the parents share.
        is_moo: Shorter prompts are worth something.
    """

    def __init__(
        self,
        session: Session,
        templates: TemplateLibrary,
        *,
        style: str | None,
        is_free: bool,
        is_moo: bool,
    ) -> None:
        self._session = session
        self._templates = templates
        self._style = style
        self._is_free = is_free
        self._is_moo = is_moo

    async def breed(self, plan: Plan) -> Offspring:
        """Make children, screen them on train items, and race what passes."""
        session = self._session
        found = Offspring(plan=plan)
        if plan.chunk:
            fresh = await session.evaluate(plan.parent.candidate, plan.chunk, split="train")
            found.ran = {result.item_id: result for result in fresh.results}
        known = {**plan.known, **found.ran}
        groups = self._groups(plan, found.ran)
        found.shown = tuple(item for group in groups for item in group)
        children: list[tuple[Candidate, Sequence[str]]] = []
        for made, group in await self._children(plan, groups, known):
            if isinstance(made, Rejection | ReflectionError):
                found.refused.append(str(getattr(made, "reason", made)))
            else:
                children.append((made, group))
        if not children:
            found.reason = "; ".join(dict.fromkeys(found.refused)) or "no failure to learn from"
            return found
        screens = [self._screen(plan, child, group, known) for child, group in children]
        found.screened = [screen for screen in await asyncio.gather(*screens) if screen is not None]
        passed = [screen for screen in found.screened if screen.passed]
        if found.screened and not passed:
            found.reason = found.screened[0].reason
            return found
        best = max(passed, key=lambda screen: screen.gain, default=None)
        winner = best.evaluation.candidate if best is not None else children[0][0]
        joined = self._joined(plan, [screen.evaluation.candidate for screen in passed])
        await self._race(plan, joined or winner, found)
        return found

    async def _race(self, plan: Plan, child: Candidate, found: Offspring) -> None:
        race = await self._session.race(child, against=plan.parent.evaluation)
        found.raced, found.complete = race.evaluation, not race.dropped
        found.reason = f"{race.evaluation.score:.3g} against {plan.parent.score:.3g}"
        if race.dropped:
            found.reason = f"lost the race after {race.blocks} blocks"

    def _groups(self, plan: Plan, ran: Mapping[str, ItemResult]) -> list[Sequence[str]]:
        """Deal failures out to the children of a brood."""
        if plan.texts is not None or plan.operator == "crossover":
            return []
        failures = [*plan.study, *(i for i, r in ran.items() if self.is_failure(r))]
        failures = failures[: plan.size * plan.brood]
        count = math.ceil(len(failures) / plan.size)
        return [failures[n::count] for n in range(count)]

    def is_failure(self, result: ItemResult) -> bool:
        """Tell whether an item leaves something to be gained."""
        perfect = self._session.settings.perfect_score
        return not result.is_scored or (result.score or 0.0) < perfect

    async def _children(
        self, plan: Plan, groups: Sequence[Sequence[str]], known: Mapping[str, ItemResult]
    ) -> list[tuple[Candidate | Rejection | ReflectionError, Sequence[str]]]:
        """Return what was made, each with the failures that it should mend."""
        candidates = [member.candidate for member in plan.parents]
        if plan.texts is not None:
            made = self._session.propose(candidates, plan.texts, operator=plan.operator)
            return [(made, ())]
        if plan.operator == "crossover":
            asked, groups = [self._crossings(plan)], [()]
        else:
            if not groups and plan.operator == "simplify":
                groups = [()]
            asked = [self._lessons(plan, [known[item] for item in group]) for group in groups]
        questions = [question for each in asked for question in each.values()]
        replies = iter(
            await self._session.ask_all(
                questions, NewText, purpose=plan.operator, repeat=plan.index
            )
        )
        children: list[tuple[Candidate | Rejection | ReflectionError, Sequence[str]]] = []
        for each, group in zip(asked, groups, strict=True):
            answers = {name: next(replies) for name in each}
            texts = {n: r.prompt.strip() for n, r in answers.items() if isinstance(r, NewText)}
            failures = [r for r in answers.values() if isinstance(r, ReflectionError)]
            if not texts:
                children += [(failure, group) for failure in failures[:1]]
                continue
            note = f"{len(group)} failures" if group else None
            made = self._session.propose(candidates, texts, operator=plan.operator, note=note)
            children.append((made, group))
        return children

    def _lessons(self, plan: Plan, results: Sequence[ItemResult]) -> dict[str, list[Message]]:
        """Return the question for each component of the parent."""
        session, parent = self._session, plan.parent
        records: list[str] = []
        if results:
            shown = Evaluation(candidate=parent.candidate, split="train", results=tuple(results))
            records = [entry.to_text() for entry in session.feedback(shown)]
        everything = parent.candidate.components(tools=session.settings.tools)
        return {
            name: self._templates.messages(
                "mutate",
                strategy=plan.operator,
                component=name,
                text=text,
                others="\n\n".join(t for key, t in everything.items() if key != name),
                task=session.task_context,
                records=records,
                attempts=list(plan.attempts),
                style=self._style,
                placeholders=placeholders_in(text),
            )
            for name, text in parent.texts.items()
        }

    def _crossings(self, plan: Plan) -> dict[str, list[Message]]:
        """Return the question for each component in which the parents differ."""
        first, second = plan.parents
        questions = {}
        for name, text in first.texts.items():
            other = second.texts[name]
            if other == text:
                continue
            ours, theirs = ([p.strip() for p in pieces_of(t)] for t in (text, other))
            questions[name] = self._templates.messages(
                "crossover",
                task=self._session.task_context,
                component=name,
                first=text,
                second=other,
                first_score=f"{first.score:.3f}",
                second_score=f"{second.score:.3f}",
                only_first=[piece for piece in ours if piece and piece not in theirs],
                only_second=[piece for piece in theirs if piece and piece not in ours],
                is_free=self._is_free,
                style=self._style,
            )
        return questions

    async def _screen(
        self,
        plan: Plan,
        child: Candidate,
        group: Sequence[str],
        known: Mapping[str, ItemResult],
    ) -> Screened | None:
        """Run a child on train items that its parent was run on; ``None`` without such items."""
        items = self._screening(plan, group, known)
        if not items:
            return None
        session, parent = self._session, plan.parent
        tested = await session.evaluate(child, items, split="train")
        before = Evaluation(
            candidate=parent.candidate,
            split="train",
            results=tuple(known[item] for item in items),
            failure_score=tested.failure_score,
        )
        new, old = tested.scores_by_item, before.scores_by_item
        gain = math.fsum(new[item] - old[item] for item in items)
        reason = f"screening: {gain:+.3g} on {len(items)} train items"
        passed = gain > 0 if group else gain >= 0
        is_shorter = self._is_moo and child.tokens < parent.tokens
        if all(tested.result(i).output == known[i].output for i in items) and not is_shorter:
            passed, reason = False, f"it answers {len(items)} train items just as its parent does"
        return Screened(evaluation=tested, gain=gain, passed=passed, reason=reason)

    def _screening(
        self, plan: Plan, group: Sequence[str], known: Mapping[str, ItemResult]
    ) -> list[str]:
        """Return the items to screen on: failures to be mended with a few successes, or any."""
        if not group:
            rng = self._session.rng("screening", plan.index)
            return rng.sample(sorted(known), min(plan.size, len(known)))
        right = [item for item, result in known.items() if not self.is_failure(result)]
        return [*group, *right[-GUARDED:]]

    def _joined(self, plan: Plan, children: Sequence[Candidate]) -> Candidate | None:
        """Join siblings that passed; ``None`` where there is one alone, or their changes touch."""
        session = self._session
        if len(children) < 2 or session.remaining.trials == 0:
            return None
        texts = dict(plan.parent.texts)
        for child in children:
            theirs = child.components(session.settings.roles, tools=session.settings.tools)
            for name, base in plan.parent.texts.items():
                merged = merge_texts(base, texts[name], theirs[name])
                if merged is None:
                    return None
                texts[name] = merged
        note = f"{len(children)} siblings that passed their screening"
        made = session.propose(children, texts, operator="brood", note=note)
        return None if isinstance(made, Rejection) else made
