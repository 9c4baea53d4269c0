"""Candidate x items -> evaluation: what is known comes from the ledger, the rest is run at once."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from opik_eval.models.base import Usage
from opik_eval.models.budget import Budget as ModelBudget
from opik_eval.models.budget import reserve_all
from opik_eval.models.context import model_context, use_models
from opik_optimizer.agent import Agent, AgentCall, AgentRun
from opik_optimizer.errors import AgentError, BudgetExhaustedError
from opik_optimizer.evaluation import Evaluation, ItemResult, Split
from opik_optimizer.events import (
    EvaluationFinished,
    EvaluationStarted,
    EventStream,
    ItemEvaluated,
)
from opik_optimizer.grouped_calls import GroupedCalls
from opik_optimizer.ledger import Codec, Found, Ledger
from opik_optimizer.objective import Objective, ObjectiveScore
from opik_optimizer.result import PhaseUsage
from opik_optimizer.several_replies import best_of
from opik_optimizer.traced_agent import run_with_spans

if TYPE_CHECKING:
    from opik_optimizer.candidate import Candidate

Spend = Callable[[Sequence[str], str | None], None]
"""Charges ledger keys and a candidate's trial, or raises ``BudgetExhaustedError``."""


def _encoded(result: ItemResult) -> dict[str, object]:
    document = {name: value for name, value in vars(result).items() if value is not None}
    del document["cached"]
    document["usage"] = {k: v for k, v in vars(result.usage).items() if v is not None}
    return {**document, "cost_usd": result.cost_usd}


ITEM_CODEC: Codec[ItemResult] = Codec(
    encode=_encoded, decode=ItemResult.from_dict, is_shared=lambda result: result.error is None
)
"""How results are kept. What failed is the failing run's own affair."""


@dataclass(slots=True)
class Usages:
    """What one phase of a run used; see ``PhaseUsage``. Sums do not depend on their order."""

    metric_calls: int = 0
    model_calls: int = 0
    tokens: int = 0
    priced_calls: int = 0
    costs_usd: list[float] = field(default_factory=list)

    def add(self, model_calls: int, tokens: int, cost_usd: float | None) -> None:
        """Add model calls, and what they cost together; ``None`` = unknown."""
        self.model_calls += model_calls
        self.tokens += tokens
        if cost_usd is not None:
            self.costs_usd.append(cost_usd)
            self.priced_calls += model_calls


@dataclass
class UsageBook:
    """What each phase of a run used."""

    phases: dict[str, Usages] = field(default_factory=dict)
    tool_calls: int = 0

    def of(self, phase: str) -> Usages:
        """Return the page of a phase."""
        return self.phases.setdefault(phase, Usages())

    def report(self) -> dict[str, PhaseUsage]:
        """Return what each phase used, by name."""
        return {
            phase: PhaseUsage(
                metric_calls=used.metric_calls,
                model_calls=used.model_calls,
                tokens=used.tokens,
                cost_usd=math.fsum(used.costs_usd) if used.priced_calls else None,
                unpriced_calls=used.model_calls - used.priced_calls,
            )
            for phase, used in self.phases.items()
        }


@dataclass
class Evaluator:
    """Runs candidates on items. For one run and one event loop.

    At most ``n_threads`` items are run at once, whoever asked for them; the models' own limiters
    hold besides. What the agent or the metric fails at becomes a result with an error.

    Attributes:
        items: The items' fields by content id.
        run_key: Key of all that a result depends on beside candidate, item and repeat.
        executor: Threads for synchronous agents and metrics.
        models: The run's limits on model calls; its time limit holds here too.
        failure_score: What counts for an item without a score.
    """

    agent: Agent
    objective: Objective
    ledger: Ledger[ItemResult]
    items: Mapping[str, Mapping[str, object]]
    run_key: str
    events: EventStream
    optimization_id: str
    executor: Executor
    models: ModelBudget
    usage: UsageBook = field(default_factory=UsageBook)
    n_threads: int = 12
    allow_tool_use: bool = True
    failure_score: float = 0.0

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.n_threads)
        self._scoring = GroupedCalls(self.executor)
        self._counted: set[str] = set()

    def keys(self, candidate: Candidate, item_ids: Sequence[str], repeat: int = 0) -> list[str]:
        """Return the ledger's key of each item."""
        base = hashlib.sha256(f"{self.run_key}/{candidate.id}/{repeat}/".encode())
        keys = []
        for item_id in item_ids:
            digest = base.copy()
            digest.update(item_id.encode())
            keys.append(digest.hexdigest())
        return keys

    async def evaluate(
        self,
        candidate: Candidate,
        item_ids: Sequence[str],
        *,
        split: Split,
        phase: str,
        spend: Spend,
        repeat: int = 0,
    ) -> Evaluation:
        """Run a candidate on items.

        Args:
            candidate: What to run.
            item_ids: Which items, each once.
            split: Which part of the data they are.
            phase: What the usage is booked under.
            spend: Charges what the evaluation needs, before anything is run.
            repeat: Which of several equal runs it is.

        Raises:
            BudgetExhaustedError: It does not fit the budget; nothing was run.
            BudgetExceededError: The limit on model calls, tokens, cost or time was reached.
            StorageError: A result could not be stored.
        """
        keys = self.keys(candidate, item_ids, repeat)
        found = [self.ledger.find(key) for key in keys]
        needed = [
            key
            for key, known in zip(keys, found, strict=True)
            if known is None or known.origin != "foreign"
        ]
        spend(needed, candidate.id)
        self._emit_start(candidate, split, len(keys))
        made = await asyncio.gather(
            *(
                self._made(candidate, item_id, key, repeat, phase)
                for item_id, key, known in zip(item_ids, keys, found, strict=True)
                if known is None
            ),
            return_exceptions=True,
        )
        await self.ledger.flush()
        rest = iter(made)
        results = []
        for key, known in zip(keys, found, strict=True):
            outcome = next(rest) if known is None else self._seen(candidate.id, key, known, phase)
            if isinstance(outcome, BaseException):
                raise outcome
            results.append(outcome)
        evaluation = Evaluation(
            candidate=candidate,
            split=split,
            results=tuple(results),
            failure_score=self.failure_score,
        )
        self.events.emit(
            EvaluationFinished(optimization_id=self.optimization_id, evaluation=evaluation)
        )
        return evaluation

    def _emit_start(self, candidate: Candidate, split: Split, items: int) -> None:
        self.events.emit(
            EvaluationStarted(
                optimization_id=self.optimization_id,
                candidate_id=candidate.id,
                split=split,
                items=items,
            )
        )

    async def _made(
        self, candidate: Candidate, item_id: str, key: str, repeat: int, phase: str
    ) -> ItemResult:
        found = await self.ledger.get(key, partial(self._run, candidate, item_id, repeat))
        return self._seen(candidate.id, key, found, phase)

    def _seen(
        self, candidate_id: str, key: str, found: Found[ItemResult], phase: str
    ) -> ItemResult:
        """Book a result and tell of it."""
        is_replay = key in self._counted or found.origin != "new"
        self._book(key, found, phase)
        result = replace(found.value, cached=True) if is_replay else found.value
        self.events.emit(
            ItemEvaluated(
                optimization_id=self.optimization_id,
                candidate_id=candidate_id,
                result=result,
                replayed=is_replay,
            )
        )
        return result

    async def _run(self, candidate: Candidate, item_id: str, repeat: int) -> ItemResult:
        async with self._slots:
            self._check_time()
            meter = ModelBudget()
            item = self.items[item_id]
            with use_models(budget=meter):
                call = AgentCall(
                    prompts=candidate.prompts,
                    item=item,
                    allow_tool_use=self.allow_tool_use,
                    repeat=repeat,
                    executor=self.executor,
                )
                span: object = None
                try:
                    if self.objective.wants_span:
                        run, span = await run_with_spans(self.agent, call)
                    else:
                        run = await self.agent.run(call)
                except AgentError as error:
                    failure = ObjectiveScore(score=None, error=error.message)
                    return _item_result(item_id, repeat, AgentRun(output=None), failure, meter)
                run, score = await best_of(
                    run,
                    partial(self.objective.score, item, task_span=span, executor=self._scoring),
                )
            return _item_result(item_id, repeat, run, score, meter)

    def _check_time(self) -> None:
        limit = self.models.max_seconds
        if limit is not None and self.models.remaining_seconds() <= 0:
            raise BudgetExhaustedError("seconds", allowed=limit, used=self.models.report().seconds)

    def _book(self, key: str, found: Found[ItemResult], phase: str) -> None:
        """Count what a value cost, once; of other runs' values nothing."""
        if found.origin == "foreign" or key in self._counted:
            return
        self._counted.add(key)
        result = found.value
        tokens = result.usage.total_tokens or 0
        used = self.usage.of(phase)
        used.metric_calls += 1
        used.add(result.model_calls, tokens, result.cost_usd)
        self.usage.tool_calls += result.tool_calls
        if found.origin == "own" and result.model_calls:
            charge_again(result.model_calls, tokens, result.cost_usd)


def charge_again(requests: int, tokens: int, cost_usd: float | None) -> None:
    """Charge the limits on model calls for what a dead attempt of this run paid.

    Raises:
        BudgetExceededError: It does not fit.
    """
    budgets = model_context().budgets
    if budgets:
        reserve_all(budgets, requests=requests, tokens=tokens, cost_usd=cost_usd).settle(
            tokens=tokens, cost_usd=cost_usd
        )


def _item_result(
    item_id: str, repeat: int, run: AgentRun, score: ObjectiveScore, meter: ModelBudget
) -> ItemResult:
    used = meter.report()
    usage, cost_usd, calls = run.usage, run.cost_usd, run.model_calls
    if used.requests:  # what was metered includes the judges, and failures
        if usage.total_tokens != used.tokens:
            usage = Usage(total_tokens=used.tokens)
        cost_usd = None if used.unpriced_requests else used.cost_usd
        calls = used.requests
    return ItemResult(
        item_id=item_id,
        repeat=repeat,
        score=score.score,
        reason=score.reason,
        output=run.output,
        scores=score.scores,
        error=score.error,
        usage=usage,
        cost_usd=cost_usd,
        seconds=run.seconds,
        model_calls=calls,
        tool_calls=run.tool_calls,
    )
