"""What a run may spend, and the leases that make the limits hard.

Trials and metric calls are counted *logically*: a key is charged once, by the first step that needs
it, whether its value is made now or was made by a run that died. So a resumed run spends its budget
as an uninterrupted one does. A step that runs beside others first takes a lease on its worst case,
in the order of the steps, and gives back what it did not need when it is committed. What one lease
may use never depends on how far another one has got.

Model calls, tokens, US dollars and seconds are counted where they happen, by ``models.Budget``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

from opik_eval.models.budget import Budget as ModelBudget
from opik_eval.models.clock import Clock
from opik_optimizer.errors import BudgetExhaustedError, SettingsError

STOP_REASONS = {
    "trials": "max_trials",
    "metric_calls": "max_metric_calls",
    "requests": "max_model_calls",
    "tokens": "max_tokens",
    "cost_usd": "max_cost_usd",
    "seconds": "max_seconds",
}
"""The stop reason that belongs to each limit, by the name it has in ``BudgetExceededError``."""

_WHOLE = ("trials", "metric_calls", "model_calls", "tokens")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Hard limits of a run; ``None`` = no limit. None of them is passed by even one call.

    Attributes:
        trials: Candidates that are evaluated, the initial prompt not counted.
        metric_calls: Items that are scored, baseline and holdout included.
        model_calls: Requests to models: agent, judges and reflection, retries included.
        tokens: Tokens of those requests.
        cost_usd: What they cost; needs models with a known price.
        seconds: Wall-clock time. A resumed run begins anew.

    Example:
        >>> Budget(metric_calls=600, cost_usd=2.0).limits()
        {'metric_calls': 600, 'cost_usd': 2.0}
    """

    trials: int | None = None
    metric_calls: int | None = None
    model_calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_whole = isinstance(value, int) or field.name not in _WHOLE
            if not (is_number and is_whole and 0 <= value < math.inf):
                kind = "whole number" if field.name in _WHOLE else "number"
                raise SettingsError(
                    f"budget: {field.name}={value!r} is not a {kind} of at least 0",
                    remedy="leave it out for no limit",
                )

    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def of_models(self, clock: Clock | None = None) -> ModelBudget:
        """Return the part of it that models keep, unspent."""
        return ModelBudget(
            max_requests=self.model_calls,
            max_tokens=self.tokens,
            max_cost_usd=self.cost_usd,
            max_seconds=self.seconds,
            clock=clock,
        )


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What may still be spent; ``None`` = no limit."""

    trials: int | None
    metric_calls: int | None


@dataclass(frozen=True, kw_only=True)
class LeaseSize:
    """What a proposal may need.

    Attributes:
        metric_calls: Its worst case; more is a defect of the algorithm.
        trials: New candidates it may evaluate.
        least_metric_calls: What makes a smaller lease still worth while, once the worst case does
            not fit any more; the worst case if absent.
        least_trials: The same for trials.
    """

    metric_calls: int
    trials: int = 1
    least_metric_calls: int | None = None
    least_trials: int | None = None

    @property
    def least(self) -> int:
        """The fewest metric calls that are of use."""
        if self.least_metric_calls is None:
            return self.metric_calls
        return min(self.least_metric_calls, self.metric_calls)

    @property
    def fewest_trials(self) -> int:
        """The fewest trials that are of use."""
        return self.trials if self.least_trials is None else min(self.least_trials, self.trials)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a step was charged for; false if nothing."""

    trials: int
    metric_calls: int

    def __bool__(self) -> bool:
        return self.trials > 0 or self.metric_calls > 0


class _Counter:
    """One limit: what is charged, in which order, and what is reserved beside it."""

    def __init__(self, name: str, limit: int | None) -> None:
        self.name = name
        self.limit = limit
        self.reserved = 0
        self._serials: dict[str, int] = {}

    @property
    def charged(self) -> int:
        return len(self._serials)

    @property
    def left(self) -> float:
        return math.inf if self.limit is None else self.limit - self.charged - self.reserved

    def is_new(self, key: str, since: int | None = None) -> bool:
        """Tell whether a key was not charged, or not before the charge of number ``since``."""
        serial = self._serials.get(key)
        return serial is None or (since is not None and serial >= since)

    def charge(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._serials.setdefault(key, len(self._serials))

    def refuse(self, asked: int, left: float) -> BudgetExhaustedError:
        allowed = self.limit if self.limit is not None else left
        error = BudgetExhaustedError(self.name, allowed=allowed, used=allowed - left)
        error.add_note(f"{asked} asked for, {left:g} left")
        return error


class Account:
    """Trials and metric calls of one run, or of one chain of runs. For one event loop.

    Args:
        trials: Limit; ``None`` = none.
        metric_calls: Limit; ``None`` = none.

    Attributes:
        exempted: Candidates whose trial is free; not part of ``trials``.

    Example:
        >>> account = Account(metric_calls=3)
        >>> lease = account.lease(LeaseSize(metric_calls=2))
        >>> lease.take(["a"])
        >>> account.lease(LeaseSize(metric_calls=2)) is None
        True
        >>> lease.settle()
        Charge(trials=0, metric_calls=1)
        >>> account.remaining
        Remaining(trials=None, metric_calls=2)
    """

    def __init__(self, *, trials: int | None = None, metric_calls: int | None = None) -> None:
        self.exempted = 0
        self._trials = _Counter("trials", trials)
        self._calls = _Counter("metric_calls", metric_calls)

    @property
    def trials(self) -> int:
        """Trials charged."""
        return self._trials.charged - self.exempted

    @property
    def metric_calls(self) -> int:
        """Metric calls charged."""
        return self._calls.charged

    @property
    def remaining(self) -> Remaining:
        """What is neither charged nor leased."""
        return Remaining(trials=_whole(self._trials.left), metric_calls=_whole(self._calls.left))

    def charge(self, keys: Iterable[str], trial: str | None = None) -> None:
        """Charge keys, and the trial of a candidate; what is charged already costs nothing.

        Raises:
            BudgetExhaustedError: They do not fit; nothing is charged.
        """
        new = {key for key in keys if self._calls.is_new(key)}
        if len(new) > self._calls.left:
            raise self._calls.refuse(len(new), self._calls.left)
        if trial is not None and self._trials.is_new(trial):
            if self._trials.left < 1:
                raise self._trials.refuse(1, self._trials.left)
            self._trials.charge([trial])
        self._calls.charge(sorted(new))

    def lease(self, size: LeaseSize, *, partly: bool = False) -> Lease | None:
        """Reserve a worst case; ``None`` if it does not fit.

        Args:
            size: What to reserve.
            partly: Reserve what is left instead, if that is enough to be of use.
        """
        trials = _reservable(self._trials, size.trials, size.fewest_trials, partly=partly)
        calls = _reservable(self._calls, size.metric_calls, size.least, partly=partly)
        if trials is None or calls is None:
            return None
        return Lease(self._trials, self._calls, size, trials=trials, metric_calls=calls)

    @contextmanager
    def narrowed(self, share: float) -> Iterator[None]:
        """Let only a share of what is left be spent for a while; what is reserved stays reserved.

        Args:
            share: Above 0, at most 1.
        """
        counters = [c for c in (self._trials, self._calls) if c.limit is not None]
        kept = [math.floor((1 - share) * max(counter.left, 0)) for counter in counters]
        for counter, held in zip(counters, kept, strict=True):
            counter.reserved += held
        try:
            yield
        finally:
            for counter, held in zip(counters, kept, strict=True):
                counter.reserved -= held

    def shortage(self, size: LeaseSize) -> str:
        """Return the stop reason of a lease that does not fit."""
        no_trials = self._trials.left < max(1, size.fewest_trials) and size.trials > 0
        name = self._trials.name if no_trials else self._calls.name
        return STOP_REASONS[name]

    def exempt(self, candidate_id: str) -> None:
        """Make a candidate's trial free: the initial prompt, or what an earlier stage found."""
        if self._trials.is_new(candidate_id):
            self._trials.charge([candidate_id])
            self.exempted += 1
            if self._trials.limit is not None:
                self._trials.limit += 1


class Lease:
    """A part of the budget that one proposal may use; made by ``Account.lease``.

    What counts against it are the keys that were not charged when it began: what others charge in
    the meantime makes no difference.

    Attributes:
        metric_calls: Metric calls it may use.
        trials: New candidates it may evaluate.
        is_full: It covers the worst case that was asked for.
    """

    def __init__(
        self,
        trials_of: _Counter,
        calls_of: _Counter,
        size: LeaseSize,
        *,
        trials: int,
        metric_calls: int,
    ) -> None:
        self.trials = trials
        self.metric_calls = metric_calls
        self.is_full = (trials, metric_calls) == (size.trials, size.metric_calls)
        self._counters = (trials_of, calls_of)
        self._since = (trials_of.charged, calls_of.charged)
        self._taken: tuple[dict[str, None], dict[str, None]] = ({}, {})
        self._is_open = True
        trials_of.reserved += trials
        calls_of.reserved += metric_calls

    @property
    def remaining(self) -> Remaining:
        """What it may still use."""
        return Remaining(
            trials=self.trials - len(self._taken[0]),
            metric_calls=self.metric_calls - len(self._taken[1]),
        )

    def take(self, keys: Iterable[str], trial: str | None = None) -> None:
        """Use it for keys, and for the trial of a candidate.

        Raises:
            BudgetExhaustedError: They do not fit; nothing is taken.
        """
        wanted = ([trial] if trial is not None else [], [*dict.fromkeys(keys)])
        news = []
        for asked, counter, since, taken, size in zip(
            wanted,
            self._counters,
            self._since,
            self._taken,
            (self.trials, self.metric_calls),
            strict=True,
        ):
            new = [key for key in asked if key not in taken and counter.is_new(key, since)]
            left = size - len(taken)
            if len(new) > left:
                raise counter.refuse(len(new), left)
            news.append(new)
        for new, taken in zip(news, self._taken, strict=True):
            taken.update(dict.fromkeys(new))

    def shrink(self, metric_calls: int) -> None:
        """Give back all but so many metric calls, once it is known that more are not needed."""
        spare = max(0, self.metric_calls - metric_calls)
        self.metric_calls -= spare
        self._counters[1].reserved -= spare

    def settle(self) -> Charge:
        """Charge what was taken, give the rest back, and return what was new."""
        before = [counter.charged for counter in self._counters]
        self._close()
        for counter, taken in zip(self._counters, self._taken, strict=True):
            counter.charge(taken)
        trials, calls = (
            counter.charged - count for counter, count in zip(self._counters, before, strict=True)
        )
        return Charge(trials=trials, metric_calls=calls)

    def release(self) -> None:
        """Give all of it back: nothing was done under it."""
        self._close()

    def _close(self) -> None:
        if not self._is_open:
            raise RuntimeError("the lease is closed already")
        self._is_open = False
        self._counters[0].reserved -= self.trials
        self._counters[1].reserved -= self.metric_calls


def _reservable(counter: _Counter, asked: int, least: int, *, partly: bool) -> int | None:
    """Return how much of a limit to reserve; ``None`` if what is left is of no use."""
    if counter.left >= asked:
        return asked
    left = int(max(counter.left, 0))
    return left if partly and left >= max(least, 1) else None


def _whole(left: float) -> int | None:
    return None if left == math.inf else int(left)


def stop_reason_of(error: BaseException) -> str | None:
    """Return the stop reason of a budget's refusal; ``None`` for other errors."""
    return STOP_REASONS.get(str(getattr(error, "limit", None)))
