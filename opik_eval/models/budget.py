"""Hard limits on what model calls may use: requests, tokens, US dollars, seconds.

A call reserves its estimate *before* it is sent and settles what it really used afterwards. A
reservation that does not fit is refused, so no limit is passed by even one call, however many run
at once. An estimate is not a promise of the provider: a reply larger than its reservation is
counted in full and the next call is refused. Where the caller sets ``max_tokens`` the estimate is
close; without it a reply is taken to have 1024 tokens.

What a call used is never guessed low: a request that was sent counts even if it failed, and one
whose reply never came (time-out, cancellation, lost connection) counts at its estimate.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opik_eval.errors import BudgetExceededError, ConfigError
from opik_eval.models.base import Message, Usage
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.serialization import dumps

DEFAULT_REPLY_TOKENS = 1024
"""Tokens a reply is taken to have if the call sets no ``max_tokens``."""

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_MEDIA_PART = 1500
# Money is counted in whole billionths of a dollar: sums of floats drift, and a limit must not.
_NANO = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class BudgetReport:
    """What a budget has been used for.

    Attributes:
        requests: Requests sent, retries included.
        tokens: Prompt and reply tokens.
        cost_usd: US dollars of the requests whose price is known.
        seconds: Wall-clock time since the first reservation.
        unpriced_requests: Requests whose price is unknown; not part of ``cost_usd``.
        exhausted: Name of the limit that refused a call, if one did.
    """

    requests: int
    tokens: int
    cost_usd: float
    seconds: float
    unpriced_requests: int
    exhausted: str | None


@dataclass(frozen=True, slots=True)
class _Amount:
    requests: int
    tokens: int
    nanos: int


class Budget:
    """Limits that hold over all calls made under it, from any thread or event loop.

    Args:
        max_requests: Requests, retries included.
        max_tokens: Prompt and reply tokens together.
        max_cost_usd: US dollars. Calls of models whose price is unknown are then refused.
        max_seconds: Wall-clock time from the first reservation on.
        clock: Time source.

    Example:
        >>> budget = Budget(max_requests=1)
        >>> budget.reserve(tokens=100).settle(tokens=80, cost_usd=0.001)
        >>> budget.reserve()
        Traceback (most recent call last):
        opik_eval.errors.BudgetExceededError: budget exceeded: ...
        >>> budget.report().tokens
        80
    """

    def __init__(
        self,
        *,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        max_seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        limits = (max_requests, max_tokens, max_cost_usd, max_seconds)
        if any(limit is not None and not 0 <= limit < math.inf for limit in limits):
            raise ConfigError(f"limits of a budget must be finite and >= 0, not {limits}")
        self.max_requests = max_requests
        self.max_tokens = max_tokens
        self.max_cost_usd = max_cost_usd
        self.max_seconds = max_seconds
        self._max_nanos = None if max_cost_usd is None else math.floor(max_cost_usd * _NANO + 1e-3)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._requests = self._tokens = self._nanos = 0
        self._unpriced = 0
        self._reserved = _Amount(0, 0, 0)
        self._started: float | None = None
        self._exhausted: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(
            "a Budget cannot be copied or sent to another process: each copy could be spent in full"
        )

    def reserve(
        self, *, requests: int = 1, tokens: int = 0, cost_usd: float | None = 0.0
    ) -> Reservation:
        """Set an estimate aside, before anything is sent.

        Args:
            requests: Requests about to be sent.
            tokens: Estimate of prompt and reply tokens.
            cost_usd: Estimate in US dollars; ``None`` = price unknown.

        Raises:
            BudgetExceededError: It does not fit beside what is spent and reserved.
            ConfigError: The price is unknown and ``max_cost_usd`` is set.
        """
        return reserve_all((self,), requests=requests, tokens=tokens, cost_usd=cost_usd)

    def remaining_seconds(self) -> float:
        """Return how much of ``max_seconds`` is left, at least 0; infinity without that limit."""
        if self.max_seconds is None:
            return math.inf
        return max(0.0, self.max_seconds - self._elapsed())

    def report(self) -> BudgetReport:
        """Return what has been used so far; reservations are not part of it."""
        with self._lock:
            return BudgetReport(
                requests=self._requests,
                tokens=self._tokens,
                cost_usd=self._nanos / _NANO,
                seconds=self._elapsed(),
                unpriced_requests=self._unpriced,
                exhausted=self._exhausted,
            )

    def _elapsed(self) -> float:
        return 0.0 if self._started is None else self._clock.now() - self._started

    def _take(self, amount: _Amount, purpose: str, *, is_priced: bool) -> None:
        if not is_priced and self._max_nanos is not None:
            raise ConfigError(
                f"the price of {purpose} is unknown, so max_cost_usd cannot be kept",
                remedy="limit max_tokens or max_requests instead of max_cost_usd, or use a model "
                "with a known price",
            )
        with self._lock:
            if self._started is None:
                self._started = self._clock.now()
            reserved = self._reserved
            total = _Amount(
                self._requests + reserved.requests + amount.requests,
                self._tokens + reserved.tokens + amount.tokens,
                self._nanos + reserved.nanos + amount.nanos,
            )
            self._check("requests", self.max_requests, total.requests, amount.requests)
            self._check("tokens", self.max_tokens, total.tokens, amount.tokens)
            self._check("cost_usd", self._max_nanos, total.nanos, amount.nanos, _NANO)
            if self.max_seconds is not None and self._elapsed() >= self.max_seconds:
                self._refuse("seconds", self.max_seconds, self._elapsed())
            self._reserve(amount)

    def _check(self, name: str, limit: int | None, total: int, asked: int, unit: int = 1) -> None:
        if limit is not None and total > limit:
            self._refuse(name, limit / unit, (total - asked) / unit)

    def _refuse(self, name: str, allowed: float, used: float) -> None:
        self._exhausted = name
        raise BudgetExceededError(name, allowed=allowed, used=used)

    def _reserve(self, amount: _Amount, sign: int = 1) -> None:
        held = self._reserved
        self._reserved = _Amount(
            held.requests + sign * amount.requests,
            held.tokens + sign * amount.tokens,
            held.nanos + sign * amount.nanos,
        )

    def _give_back(self, amount: _Amount) -> None:
        with self._lock:
            self._reserve(amount, -1)

    def _settle(self, reserved: _Amount, used: _Amount, *, is_priced: bool) -> None:
        with self._lock:
            self._reserve(reserved, -1)
            self._requests += used.requests
            self._tokens += used.tokens
            self._nanos += used.nanos
            self._unpriced += 0 if is_priced else used.requests


class Reservation:
    """An amount set aside in one or more budgets; end it with ``settle`` or ``release``, once."""

    def __init__(self, budgets: Sequence[Budget], amount: _Amount, *, is_priced: bool) -> None:
        self._budgets = budgets
        self._amount = amount
        self._is_priced = is_priced
        self._is_open = True

    def settle(self, *, tokens: int | None = None, cost_usd: float | None = None) -> None:
        """Replace the estimate by what was used.

        Args:
            tokens: Tokens used; ``None`` = the provider did not say, the estimate stands.
            cost_usd: What it cost; ``None`` = unknown, the estimate stands.
        """
        self._close()
        used = _Amount(
            self._amount.requests,
            self._amount.tokens if tokens is None else tokens,
            self._amount.nanos if cost_usd is None else _nanos(cost_usd),
        )
        is_priced = self._is_priced or cost_usd is not None
        for budget in self._budgets:
            budget._settle(self._amount, used, is_priced=is_priced)

    def release(self) -> None:
        """Give everything back: nothing was sent."""
        self._close()
        for budget in self._budgets:
            budget._give_back(self._amount)

    def _close(self) -> None:
        if not self._is_open:
            raise RuntimeError("this reservation has been settled or released before")
        self._is_open = False


def reserve_all(
    budgets: Sequence[Budget],
    *,
    requests: int = 1,
    tokens: int = 0,
    cost_usd: float | None = 0.0,
    purpose: str = "this call",
) -> Reservation:
    """Reserve the same amount in several budgets: in all of them or in none.

    Args:
        budgets: Where to reserve; nothing happens if there are none.
        requests: See ``Budget.reserve``.
        tokens: See ``Budget.reserve``.
        cost_usd: See ``Budget.reserve``.
        purpose: What it is for, in messages.

    Raises:
        BudgetExceededError: It does not fit into one of them.
        ConfigError: The price is unknown and one of them limits the cost.
    """
    is_priced = cost_usd is not None
    amount = _Amount(requests, tokens, _nanos(cost_usd or 0.0))
    taken: list[Budget] = []
    try:
        for budget in budgets:
            budget._take(amount, purpose, is_priced=is_priced)
            taken.append(budget)
    except (BudgetExceededError, ConfigError):
        for budget in taken:
            budget._give_back(amount)
        raise
    return Reservation(budgets, amount, is_priced=is_priced)


def estimate_usage(
    messages: Sequence[Message],
    params: Mapping[str, object],
    json_schema: Mapping[str, object] | None = None,
) -> Usage:
    """Return the tokens a call is taken to use before it is sent.

    The prompt: one token per three bytes of UTF-8 text (tools and schema included), 8 per message
    and 1500 per image, audio or file part. The reply: ``max_completion_tokens`` or ``max_tokens``,
    else ``DEFAULT_REPLY_TOKENS``, times ``n``.

    Example:
        >>> estimate_usage([{"role": "user", "content": "x" * 300}], {"max_tokens": 10})
        Usage(prompt_tokens=108, completion_tokens=10, total_tokens=118, cached_tokens=None, \
reasoning_tokens=None)
    """
    prompt = sum(_message_tokens(message) for message in messages)
    prompt += sum(len(dumps(extra)) for extra in (params.get("tools"), json_schema) if extra) // 3
    limit = params.get("max_completion_tokens") or params.get("max_tokens")
    choices = params.get("n")
    reply = limit if isinstance(limit, int) else DEFAULT_REPLY_TOKENS
    reply *= choices if isinstance(choices, int) else 1
    return Usage(prompt_tokens=prompt, completion_tokens=reply, total_tokens=prompt + reply)


def _message_tokens(message: Message) -> int:
    parts = message.get("content")
    tokens = _TOKENS_PER_MESSAGE
    for part in parts if isinstance(parts, list | tuple) else [parts]:
        text = part.get("text") if isinstance(part, Mapping) else part
        if text is not None:
            tokens += -(-len(str(text).encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
        elif part is not None:
            tokens += _TOKENS_PER_MEDIA_PART
    calls = message.get("tool_calls")
    return tokens + (len(dumps(calls)) // _BYTES_PER_TOKEN if calls else 0)


def _nanos(cost_usd: float) -> int:
    # Rounded up, and tolerant of the last bit of a float: 0.3 is 300 000 000, not one more.
    return math.ceil(cost_usd * _NANO - 1e-3)
