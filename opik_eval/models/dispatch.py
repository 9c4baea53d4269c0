"""One request on its way: a slot of the account, attempts, a reservation for each, the price."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from opik_eval.errors import (
    EmptyReplyError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
)
from opik_eval.models.base import Completion, ModelRequest, Transport
from opik_eval.models.budget import Budget, Reservation, estimate_usage, reserve_all
from opik_eval.models.cache import is_empty
from opik_eval.models.clock import Clock
from opik_eval.models.limiter import AdaptiveLimiter
from opik_eval.models.pricing import cost_usd
from opik_eval.models.retry import RetryPolicy, call_with_retry


@dataclass(frozen=True, kw_only=True)
class Dispatcher:
    """Sends requests through a transport, within all limits.

    A request keeps its slot while it waits between attempts: an account that is turned away gets
    quieter by itself, and nobody jumps the queue.

    Attributes:
        transport: Sends a request once.
        limiter: The limiter of the transport's account.
        policy: When to try again.
        budgets: Limits that must all hold.
        clock: Time source.
        rng: Source of jitter.
    """

    transport: Transport
    limiter: AdaptiveLimiter
    policy: RetryPolicy
    budgets: Sequence[Budget]
    clock: Clock
    rng: random.Random

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request.

        Raises:
            ModelError: It failed for good.
            BudgetExceededError: The next attempt does not fit into a budget.
        """
        async with self.limiter.slot():
            return await call_with_retry(
                lambda attempt: self._attempt(request, attempt),
                self.policy,
                clock=self.clock,
                rng=self.rng,
                deadline_seconds=self._seconds_left(),
            )

    async def _attempt(self, request: ModelRequest, attempt: int) -> Completion:
        reservation = self._reserve(request)
        timeout = min(request.timeout_seconds, self._seconds_left())
        started = self.clock.now()
        try:
            reply = await self.transport.send(replace(request, timeout_seconds=timeout))
        except BaseException as error:
            settle_failure(reservation, error)
            if isinstance(error, ModelError):
                self.limiter.failed(error)
            raise
        reply = replace(
            reply,
            attempts=attempt,
            cost_usd=_cost(request.model, reply),
            latency_seconds=reply.latency_seconds or self.clock.now() - started,
        )
        reservation.settle(tokens=_tokens(reply), cost_usd=reply.cost_usd)
        self.limiter.succeeded(attempt=attempt)
        if is_empty(reply):
            raise _empty_reply(reply)
        return reply

    def _reserve(self, request: ModelRequest) -> Reservation:
        if not self.budgets:
            return reserve_all(())
        usage = estimate_usage(request.messages, request.params, request.json_schema)
        return reserve_all(
            self.budgets,
            tokens=usage.total_tokens or 0,
            cost_usd=cost_usd(request.model, usage),
            purpose=f"a call of {request.model}",
        )

    def _seconds_left(self) -> float:
        return min((budget.remaining_seconds() for budget in self.budgets), default=float("inf"))


def settle_failure(reservation: Reservation, error: BaseException) -> None:
    """Count what a failed request used: nothing if the provider refused it, else its estimate."""
    was_refused = isinstance(error, ModelError) and not _may_have_run(error)
    if was_refused:
        reservation.settle(tokens=0, cost_usd=0.0)
    else:
        reservation.settle()


def _may_have_run(error: ModelError) -> bool:
    if isinstance(error, ModelUnavailableError):
        return error.status is None
    return isinstance(error, ModelTimeoutError | EmptyReplyError)


def _cost(model: str, reply: Completion) -> float | None:
    return reply.cost_usd if reply.cost_usd is not None else cost_usd(model, reply.usage)


def _tokens(reply: Completion) -> int | None:
    usage = reply.usage
    if usage.total_tokens is not None:
        return usage.total_tokens
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens


def _empty_reply(reply: Completion) -> EmptyReplyError:
    is_cut = reply.finish_reason == "length"
    error = EmptyReplyError(
        f"{reply.model}: the reply has neither text nor tool calls "
        f"(finish_reason {reply.finish_reason!r})",
        remedy="raise max_tokens: the limit was reached before any text came" if is_cut else None,
    )
    # The same limit would be reached, and paid for, again.
    error.retryable = not is_cut
    return error
