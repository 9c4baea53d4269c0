"""``Session``: everything that an algorithm sees and may do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from pydantic import BaseModel

from opik_eval.models.base import Message
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import OptimizerError, ReflectionError
from opik_optimizer.evaluation import Evaluation, Split
from opik_optimizer.evaluator import Evaluator, Spend
from opik_optimizer.events import EventStream, IncumbentChanged, ProposalStarted
from opik_optimizer.guards import Guards, Rejection
from opik_optimizer.history import Round, Trial
from opik_optimizer.logbook import Logbook
from opik_optimizer.pipeline import (
    Commit,
    Finish,
    Issue,
    Pipeline,
    Proposal,
    current_proposal,
    in_flight_for,
)
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.racing import RaceOutcome, blocks_of, is_worse, p_worse
from opik_optimizer.reflection import Reflector
from opik_optimizer.rewriter import ReflectionWatch
from opik_optimizer.session_view import Board, SessionView

T = TypeVar("T")
Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The parts of a run that a session works with."""

    optimization_id: str
    evaluator: Evaluator
    reflector: Reflector
    guards: Guards
    events: EventStream
    logbook: Logbook
    watch: ReflectionWatch


class Session(SessionView):
    """What ``BaseOptimizer.search`` gets.

    An algorithm decides in plain code, on what is committed: in ``issue`` and ``commit`` of a
    ``pipeline``, or between the evaluations of a search that works step by step. The coroutine of a
    proposal runs beside others: it may evaluate, race, ask and propose, and what it sees of the
    session is the state at its issue; recording and ``consider`` belong to ``commit``.

    Args:
        workshop: The parts of the run.
        **view: See ``SessionView``.
    """

    def __init__(self, workshop: Workshop, **view: object) -> None:
        super().__init__(**view)  # type: ignore[arg-type]  # spelled out there
        self._workshop = workshop

    async def evaluate(
        self,
        candidate: Candidate,
        item_ids: Sequence[str] | None = None,
        *,
        split: Split = "validation",
        lease: Lease | None = None,
        repeat: int = 0,
    ) -> Evaluation:
        """Run a candidate on items; what is known already costs nothing.

        Args:
            candidate: What to run.
            item_ids: Which items of the split; all if absent.
            split: ``train`` or ``validation``.
            lease: What pays for it: in a proposal its lease, else the budget itself, if absent.
            repeat: Which of several equal runs it is.

        Raises:
            BudgetExhaustedError: It does not fit; nothing was run.
            BudgetExceededError: The limit on model calls, tokens, cost or time was reached.
        """
        own = self._splits.ids(split)
        wanted = own if item_ids is None else tuple(dict.fromkeys(item_ids))
        if split == "holdout" or not set(wanted) <= set(own):
            raise OptimizerError(
                f"items to evaluate are not in the {split} split, or it is hidden",
                remedy="take them from train_ids or validation_ids",
            )
        return await self._workshop.evaluator.evaluate(
            candidate,
            wanted,
            split=split,
            phase="search",
            spend=self._spend(lease),
            repeat=repeat,
        )

    async def race(
        self,
        candidate: Candidate,
        *,
        against: Evaluation | None = None,
        lease: Lease | None = None,
        block_size: int | None = None,
    ) -> RaceOutcome:
        """Run a candidate block by block on the validation items; drop it once it is shown worse.

        With ``racing=False`` it is one block. The order of the items is the same in all races.

        Args:
            candidate: What to run.
            against: What it must not be worse than, complete on the sample; ``best`` if absent.
            lease: See ``evaluate``.
            block_size: Items between two looks; max(5, V/4) if absent.
        """
        rival = (against or self.best).scores_by_item
        order = sorted(self.validation_ids)
        self.rng("race").shuffle(order)
        blocks = blocks_of(order, size=block_size) if self.settings.racing else [tuple(order)]
        evaluation: Evaluation | None = None
        p_value, seen = 1.0, 0
        for block in blocks:
            part = await self.evaluate(candidate, block, lease=lease)
            evaluation = part if evaluation is None else evaluation.with_results(part.results)
            p_value, seen = p_worse(evaluation.scores_by_item, rival), seen + 1
            if seen < len(blocks) and is_worse(p_value):
                self._at_commit(partial(self._workshop.logbook.dropped, evaluation, seen, p_value))
                break
        if evaluation is None:
            raise OptimizerError("there are no validation items to race on")
        dropped = seen < len(blocks)
        if not dropped:
            evaluation = _in_order(evaluation, self.validation_ids)
        return RaceOutcome(evaluation=evaluation, dropped=dropped, p_worse=p_value, blocks=seen)

    async def ask(
        self,
        messages: Sequence[Message],
        response_format: type[Reply],
        *,
        purpose: str,
        repeat: int = 0,
        analysis: bool = False,
    ) -> Reply:
        """Return the reflection model's reply, of the type asked for; see ``Reflector.ask``.

        Raises:
            ReflectionError: There is no usable reply.
        """
        [reply] = await self.ask_all(
            [messages], response_format, purpose=purpose, repeat=repeat, analysis=analysis
        )
        if isinstance(reply, ReflectionError):
            raise reply
        return reply

    async def ask_all(
        self,
        questions: Sequence[Sequence[Message]],
        response_format: type[Reply],
        *,
        purpose: str,
        repeat: int = 0,
        analysis: bool = False,
    ) -> list[Reply | ReflectionError]:
        """Ask several questions at once.

        Returns:
            The replies in the order of the questions; where there is no usable one, the error.
        """
        proposal = current_proposal()
        if proposal is not None:
            proposal.has_asked = True
        ask = partial(self._workshop.reflector.ask, purpose=purpose, analysis=analysis)
        found = await asyncio.gather(
            *(ask(each, response_format, repeat=repeat) for each in questions),
            return_exceptions=True,
        )
        replies: list[Reply | ReflectionError] = []
        for reply in found:
            if isinstance(reply, BaseException) and not isinstance(reply, ReflectionError):
                raise reply
            replies.append(reply)
        for reply in replies:
            if isinstance(reply, ReflectionError):
                self._at_commit(partial(self._workshop.watch.saw, reply))
        return replies

    def propose(
        self,
        parents: Candidate | Sequence[Candidate],
        changes: Mapping[str, str] | Mapping[str, ChatPrompt],
        *,
        operator: str,
        note: str | None = None,
    ) -> Candidate | Rejection:
        """Make a candidate, unless a guard objects; a rejection is recorded with its reason.

        Args:
            parents: What it is made from; the first one is what ``changes`` apply to.
            changes: New texts by component, or new prompts by name.
            operator: How it was made, such as ``reflection``.
            note: Why, in words.
        """
        ancestors = [parents] if isinstance(parents, Candidate) else list(parents)
        ids = [parent.id for parent in ancestors]
        prompts = {k: v for k, v in changes.items() if isinstance(v, ChatPrompt)}
        texts = {k: v for k, v in changes.items() if isinstance(v, str)}
        first = ancestors[0].with_prompts(prompts, operator=operator, parents=ids, note=note)
        child = first.with_components(texts, operator=operator, parents=ids, note=note)
        proposal = current_proposal()
        known = self._board.known[: None if proposal is None else proposal.known]
        rejection = self._workshop.guards.check(ancestors, child, known=known)
        self._at_commit(partial(self._register, child, rejection))
        if proposal is not None and proposal.has_asked:
            self._at_commit(partial(self._workshop.watch.saw, rejection or child))
        return child if rejection is None else rejection

    async def pipeline(
        self,
        issue: Issue[T],
        commit: Commit[T],
        *,
        lease: LeaseSize,
        finish: Finish[T] | None = None,
        in_flight: int = 1,
    ) -> None:
        """Run numbered proposals, several at once, and commit them in order; see ``Pipeline.run``.

        Args:
            issue: ``issue(k, lease)`` returns the coroutine of proposal ``k``, or ``None``.
            commit: ``commit(k, outcome)`` takes what it returned, or the failure it raised.
            lease: Worst case of one proposal.
            finish: ``finish(k, outcome)`` ends proposal ``k`` on what is committed by then.
            in_flight: Fewest proposals at once where the user leaves it to the algorithm.
        """
        pipeline: Pipeline[T] = Pipeline(
            self._account,
            self._switch,
            in_flight=self.settings.proposals_in_flight
            or max(in_flight, in_flight_for(self._account.remaining, lease)),
            open_proposal=self._open_proposal,
            refresh=partial(_show, self._board),
        )
        await pipeline.run(issue, commit, lease, finish=finish)

    def consider(self, evaluation: Evaluation) -> bool:
        """Make an evaluation the incumbent if it is strictly better; return whether it is.

        Raises:
            OptimizerError: It is not complete on the validation sample, or this is not a commit.
        """
        _only_at_commit("consider")
        if not self.is_complete(evaluation):
            raise OptimizerError(
                "only an evaluation on the whole validation sample can become the incumbent",
                remedy="complete it first: await session.evaluate(candidate)",
            )
        self._board.complete.setdefault(evaluation.candidate.id, evaluation)
        before = self._board.best
        if evaluation.score <= before.score:
            return False
        self._board.best = evaluation
        self._workshop.events.emit(
            IncumbentChanged(
                optimization_id=self._workshop.optimization_id,
                evaluation=evaluation,
                previous_score=before.score,
            )
        )
        settings = self.settings
        if settings.skip_perfect_score and evaluation.score >= settings.perfect_score:
            self._switch.stop("perfect_score")
        return True

    def record_trial(self, evaluation: Evaluation, *, accepted: bool, reason: str) -> Trial:
        """Put a candidate's evaluation and the decision on it into the history."""
        _only_at_commit("record_trial")
        if self.is_complete(evaluation):
            self._board.complete.setdefault(evaluation.candidate.id, evaluation)
        elif evaluation.split == "validation" and not accepted:
            return self._workshop.logbook.trial(evaluation, "dropped", reason)
        decision = "accepted" if accepted else "rejected"
        return self._workshop.logbook.trial(evaluation, decision, reason)  # type: ignore[arg-type]

    def record_failure(self, reason: str, *, operator: str = "") -> Trial:
        """Note in the history that a proposal came to no candidate."""
        _only_at_commit("record_failure")
        return self._workshop.logbook.failure(operator, reason)

    def record_round(self, **details: object) -> Round:
        """Close a round: the trials since the last one, and what the algorithm says of it."""
        _only_at_commit("record_round")
        return self._workshop.logbook.close_round(self._board.best.score, details)

    def stop(self, reason: str) -> None:
        """End the search; proposals under way are finished and committed."""
        self._switch.stop(reason)

    def _spend(self, lease: Lease | None) -> Spend:
        proposal = current_proposal()
        if lease is None and proposal is not None:
            lease = proposal.lease
        return self._account.charge if lease is None else lease.take

    def _at_commit(self, action: Callable[[], None]) -> None:
        """Do something when the proposal that this is part of is committed; else at once."""
        proposal = current_proposal()
        if proposal is None:
            action()
        else:
            proposal.deferred.append(action)

    def _register(self, child: Candidate, rejection: Rejection | None) -> None:
        if rejection is None:
            self._board.known.append(child)
            self._workshop.logbook.proposed(child)
        else:
            self._workshop.logbook.refused(rejection)

    def _open_proposal(self, index: int, lease: Lease) -> Proposal:
        self._workshop.events.emit(
            ProposalStarted(optimization_id=self._workshop.optimization_id, index=index)
        )
        return Proposal(
            index=index, lease=lease, best=self._board.best, known=len(self._board.known)
        )


def _show(board: Board, proposal: Proposal) -> None:
    """Let a proposal see what is committed by now."""
    proposal.best, proposal.known = board.best, len(board.known)


def _only_at_commit(method: str) -> None:
    if current_proposal() is not None:
        raise OptimizerError(
            f"{method} was called inside a proposal, where its order would depend on timing",
            remedy="call it in commit, with what the proposal returned",
        )


def _in_order(evaluation: Evaluation, item_ids: Sequence[str]) -> Evaluation:
    by_item = {result.item_id: result for result in evaluation.results}
    return replace(evaluation, results=tuple(by_item[item_id] for item_id in item_ids))
