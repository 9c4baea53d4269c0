"""One search: analyse failures of the incumbent, mend one mode after the other, validate once."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from opik_optimizer.algorithms.hierarchical_reflective.modes import FailureMode, find_modes
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.errors import ReflectionError
from opik_optimizer.guards import Rejection

if TYPE_CHECKING:
    from opik_optimizer.algorithms.hierarchical_reflective.options import HierarchicalOptions
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation, Feedback, ItemResult
    from opik_optimizer.pipeline import Failure
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary

_LEAST_ANALYSED = 8
_ATTEMPTS_SHOWN = 4


class MendedText(BaseModel):
    """What the reflection model replies to ``improve``."""

    prompt: str = Field(description="The new text, complete and ready to use.")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One attempt to mend a mode.

    Attributes:
        mode: Name of the failure mode.
        evaluation: The edited candidate on the mode's items and the guarded ones.
        kept: The next edit builds on it.
    """

    mode: str
    evaluation: Evaluation
    kept: bool
    reason: str


@dataclass(kw_only=True)
class RoundOutcome:
    """What a round brought."""

    parent: Candidate
    modes: list[FailureMode] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    raced: Evaluation | None = None
    complete: bool = False
    reason: str = ""


class HierarchicalSearch:
    """The state of one search, and its decisions.

    Args:
        session: The run.
        options: Parameters.
        templates: Texts for the reflection model.
    """

    def __init__(
        self, session: Session, options: HierarchicalOptions, templates: TemplateLibrary
    ) -> None:
        self._session = session
        self._options = options
        self._templates = templates
        self._failed_edits: dict[str, list[str]] = {}
        self._idle = 0
        wanted = session.settings.n_samples_minibatch or options.analysed_items
        left = session.remaining.metric_calls
        most = len(session.train_ids) if left is None else max(_LEAST_ANALYSED, left // 4)
        self._size = min(wanted, most, len(session.train_ids))
        settings = session.settings
        self._names = list(session.seed_candidate.components(settings.roles, tools=settings.tools))

    async def run(self) -> None:
        """Work round by round until the budget is spent or nothing more is found."""
        options, validation = self._options, len(self._session.validation_ids)
        attempts = options.modes_per_round * (1 + options.max_retries)
        checked = options.mode_items + options.guarded_items
        await self._session.pipeline(
            self.issue,
            self.commit,
            lease=LeaseSize(
                metric_calls=self._size + attempts * checked + validation,
                trials=attempts,
                least_metric_calls=self._size + checked + validation,
                least_trials=1,
            ),
        )

    def issue(self, index: int, _: Lease) -> Coroutine[object, object, RoundOutcome] | None:
        """Decide on a round, from what is committed."""
        session = self._session
        if self._idle >= self._options.convergence_rounds:
            session.stop("no_improvement")
            return None
        if not self._names:
            return None
        order = list(session.train_ids)
        turn, at = divmod(index * self._size, len(order))
        session.rng("order", turn).shuffle(order)
        sample = (order + order)[at : at + self._size]
        best = session.best.candidate
        tried = tuple(self._failed_edits.get(best.id, ())[-_ATTEMPTS_SHOWN:])
        return self._round(index, session.best, tuple(dict.fromkeys(sample)), tried)

    def commit(self, _: int, outcome: RoundOutcome | Failure) -> None:
        """Take in what a round brought."""
        session = self._session
        if not isinstance(outcome, RoundOutcome):
            session.record_failure(str(outcome), operator="hierarchical_reflective")
            self._idle += 1
            session.record_round(failed=str(outcome))
            return
        raced = outcome.raced
        for edit in outcome.edits:
            if raced is not None and edit.evaluation.candidate.id == raced.candidate.id:
                continue
            reason = f"{edit.mode}: {edit.reason}"
            session.record_trial(edit.evaluation, accepted=False, reason=reason)
            if not edit.kept:
                self._remember(outcome.parent, edit.evaluation.candidate, edit.mode)
        is_better = False
        if raced is not None:
            is_better = outcome.complete and session.consider(raced)
            session.record_trial(raced, accepted=is_better, reason=outcome.reason)
            if not is_better:
                self._remember(outcome.parent, raced.candidate, "all of them")
        elif not outcome.edits:
            session.record_failure(outcome.reason, operator="hierarchical_reflective")
        self._idle = 0 if is_better else self._idle + 1
        session.record_round(failure_modes=[mode.model_dump() for mode in outcome.modes])

    def _remember(self, parent: Candidate, child: Candidate, mode: str) -> None:
        old, new = parent.components(), child.components()
        changed = [text for name, text in new.items() if text != old.get(name)]
        self._failed_edits.setdefault(parent.id, []).append(f"for {mode}: " + "\n".join(changed))

    async def _round(
        self, index: int, best: Evaluation, sample: Sequence[str], tried: Sequence[str]
    ) -> RoundOutcome:
        session, options = self._session, self._options
        parent = best.candidate
        outcome = RoundOutcome(parent=parent)
        seen = await session.evaluate(parent, sample, split="train")
        results = {result.item_id: result for result in seen.results}
        perfect = session.settings.perfect_score
        failing = [i for i, r in results.items() if not r.is_scored or (r.score or 0) < perfect]
        if not failing:
            outcome.reason = f"no failure among {len(results)} train items"
            return outcome
        failures = session.feedback(seen, failing)
        outcome.modes = await find_modes(
            session,
            self._templates,
            failures,
            text=parent.text(),
            batch_size=options.batch_size,
            repeat=index,
        )
        passing = [item for item in results if item not in failing]
        current = await self._mend(index, outcome, results, failures, passing, list(tried))
        if current is parent:
            outcome.reason = "no edit mended a failure mode"
            return outcome
        race = await session.race(current, against=best)
        outcome.raced, outcome.complete = race.evaluation, not race.dropped
        outcome.reason = f"{race.evaluation.score:.3g} against {best.score:.3g}"
        if race.dropped:
            outcome.reason = f"lost the race after {race.blocks} blocks"
        return outcome

    async def _mend(
        self,
        index: int,
        outcome: RoundOutcome,
        before: Mapping[str, ItemResult],
        failures: Sequence[Feedback],
        passing: Sequence[str],
        tried: list[str],
    ) -> Candidate:
        """Edit for one mode after the other, each on top of the edits that helped."""
        session, options = self._session, self._options
        current = outcome.parent
        scores = {item: result.score or 0.0 for item, result in before.items()}
        guarded = session.rng("guarded", index).sample(
            list(passing), min(options.guarded_items, len(passing))
        )
        for number, mode in enumerate(outcome.modes[: options.modes_per_round]):
            items = [i for i in mode.item_ids if scores[i] < 1][: options.mode_items]
            shown = [f.to_text() for f in failures if f.item_id in items]
            for attempt in range(options.max_retries + 1):
                if not shown or session.remaining.trials == 0:
                    break
                repeat = index * 1000 + number * 10 + attempt
                child = await self._edit(current, mode, shown, tried, repeat)
                if isinstance(child, Rejection):
                    tried.append(child.reason)
                    continue
                tested = await session.evaluate(child, [*items, *guarded], split="train")
                after = tested.scores_by_item
                gain = sum(after[i] - scores[i] for i in items)
                loss = sum(max(0.0, scores[i] - after[i]) for i in guarded)
                kept = gain > loss
                reason = f"{gain:+.3g} on its {len(items)} items, {-loss:+.3g} on what passed"
                outcome.edits.append(
                    Edit(mode=mode.name, evaluation=tested, kept=kept, reason=reason)
                )
                if kept:
                    current = child
                    scores |= after
                    break
                tried.append(f"for {mode.name}: {child.text(session.settings.roles)}")
        return current

    async def _edit(
        self,
        current: Candidate,
        mode: FailureMode,
        shown: Sequence[str],
        tried: Sequence[str],
        repeat: int,
    ) -> Candidate | Rejection:
        """Rewrite all parts of a prompt for one mode; a part without a usable reply stays."""
        session = self._session
        texts = current.components()
        questions = [
            self._templates.messages(
                "improve",
                component=name,
                text=texts[name],
                others="\n\n".join(text for other, text in texts.items() if other != name),
                task=session.task_context,
                mode=mode.model_dump(),
                records=list(shown),
                attempts=list(tried)[-_ATTEMPTS_SHOWN:],
            )
            for name in self._names
        ]
        replies = await session.ask_all(questions, MendedText, purpose="improve", repeat=repeat)
        changes = {
            name: reply.prompt.strip()
            for name, reply in zip(self._names, replies, strict=True)
            if not isinstance(reply, ReflectionError)
        }
        if not changes:
            raise next(reply for reply in replies if isinstance(reply, ReflectionError))
        return session.propose(current, changes, operator="targeted_edit", note=mode.name)
