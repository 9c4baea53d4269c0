"""The smallest optimizer that uses the whole frame: random or asked edits, raced one by one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Unpack

from pydantic import BaseModel

from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.guards import Rejection
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.racing import RaceOutcome
from opik_optimizer.testing.task import rule

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.session import Session

Outcome = RaceOutcome | Rejection


class Rewritten(BaseModel):
    """What the reflection model answers."""

    prompt: str


class ToyOptimizer(BaseOptimizer):
    """Adds or removes a sentence of a simulated task's prompt at random, and keeps what is better.

    Args:
        model: Reflection model, for ``reflects``.
        reflects: Ask the reflection model for every other edit.
        **options: See ``OptimizerOptions``.

    Example:
        >>> from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask
        >>> task = SimulatedTask()
        >>> result = ToyOptimizer(verbose=0).optimize_prompt(
        ...     task.prompt(),
        ...     task.dataset(),
        ...     task.metric,
        ...     agent=SimulatedAgent(task),
        ...     max_trials=30,
        ...     storage="memory:",
        ... )
        >>> result.score > result.initial_score
        True
    """

    def __init__(
        self,
        model: str | Model | None = None,
        *,
        reflects: bool = False,
        **options: Unpack[OptimizerKeywords],
    ) -> None:
        super().__init__(model, **options)
        self.reflects = reflects

    async def search(self, session: Session) -> None:
        """Race one edit of the incumbent after the other."""

        def issue(index: int, lease: Lease) -> Coroutine[object, object, Outcome]:
            _ = lease  # it pays for what the coroutine does
            return self._attempt(session, index, session.best)

        def commit(index: int, outcome: Outcome | Exception) -> None:
            if isinstance(outcome, Exception):
                session.record_failure(str(outcome), operator="toy")
            elif isinstance(outcome, RaceOutcome):
                accepted = not outcome.dropped and session.consider(outcome.evaluation)
                reason = f"p_worse = {outcome.p_worse:.3f} after {outcome.blocks} blocks"
                session.record_trial(outcome.evaluation, accepted=accepted, reason=reason)
            if index % 5 == 4:
                session.record_round()

        worst = LeaseSize(metric_calls=len(session.validation_ids))
        await session.pipeline(issue, commit, lease=worst)

    async def _attempt(self, session: Session, index: int, parent: Evaluation) -> Outcome:
        rng = session.rng("edit", index)
        texts = parent.candidate.components(session.settings.roles)
        key, text = rng.choice(sorted(texts.items()))
        if self.reflects and index % 2:
            shown = session.feedback(parent, rng.sample(session.validation_ids, 3))
            feedback = "\n\n".join(part.to_text() for part in shown)
            question = [{"role": "user", "content": f"Improve this: {text}\n\n{feedback}"}]
            reply = await session.ask(question, Rewritten, purpose="edit", repeat=index)
            edited = reply.prompt
        else:
            sentence = f" {rule(rng.randrange(8))}"
            edited = text.replace(sentence, "") if sentence in text else text + sentence
        child = session.propose(parent.candidate, {key: edited}, operator="toy")
        return child if isinstance(child, Rejection) else await session.race(child)
