"""Budgets."""

import copy
import math
import pickle
import threading
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from opik_eval.errors import BudgetExceededError, ConfigError
from opik_eval.models.budget import (
    DEFAULT_REPLY_TOKENS,
    Budget,
    estimate_usage,
    reserve_all,
)


class StillClock:
    """A clock that moves only when told."""

    def __init__(self):
        self.seconds = 100.0

    def now(self):
        return self.seconds


@pytest.mark.parametrize(
    ("limits", "estimate", "name", "allowed", "used"),
    [
        ({"max_requests": 1}, {}, "requests", 1, 1),
        ({"max_tokens": 150}, {"tokens": 100}, "tokens", 150, 100),
        ({"max_cost_usd": 0.3}, {"cost_usd": 0.2}, "cost_usd", 0.3, 0.2),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(limits, estimate, name, allowed, used):
    """The reservation that would pass a limit is refused and names limit, value and use."""
    budget = Budget(**limits)
    budget.reserve(**estimate)
    with pytest.raises(BudgetExceededError) as raised:
        budget.reserve(**estimate)
    error = raised.value
    assert (error.limit, error.allowed, error.used) == (name, allowed, used)
    assert budget.report().exhausted == name


def test_settling_replaces_the_estimate_by_what_was_used():
    """What was reserved and not used is free again."""
    budget = Budget(max_tokens=100)
    budget.reserve(tokens=100).settle(tokens=30, cost_usd=0.5)
    budget.reserve(tokens=70)
    report = budget.report()
    assert (report.requests, report.tokens, report.cost_usd) == (1, 30, 0.5)


def test_released_reservation_costs_nothing():
    """What was never sent does not count, not even as a request."""
    budget = Budget(max_requests=1)
    budget.reserve(tokens=5, cost_usd=1.0).release()
    budget.reserve()
    assert budget.report().requests == 0


def test_reservation_ends_once():
    """Settling or releasing twice is a bug of the caller and is said to be one."""
    reservation = Budget().reserve()
    reservation.settle()
    with pytest.raises(RuntimeError, match="settled or released before"):
        reservation.release()


def test_reply_larger_than_reserved_counts_and_stops_the_next_call():
    """An overshoot that nobody could foresee is counted in full."""
    budget = Budget(max_tokens=100)
    budget.reserve(tokens=10).settle(tokens=500)
    assert budget.report().tokens == 500
    with pytest.raises(BudgetExceededError):
        budget.reserve(tokens=1)


def test_estimate_stands_where_the_provider_says_nothing():
    """Without usage and price in the reply the reserved amounts count."""
    budget = Budget()
    budget.reserve(tokens=40, cost_usd=0.25).settle()
    assert (budget.report().tokens, budget.report().cost_usd) == (40, 0.25)


def test_unknown_price_is_an_error_under_a_cost_limit():
    """A call without a price is never taken for free where money is limited."""
    budget = Budget(max_cost_usd=5)
    with pytest.raises(ConfigError, match=r"price of a call of x/y is unknown"):
        reserve_all([budget], cost_usd=None, purpose="a call of x/y")
    assert budget.report().exhausted is None


def test_unpriced_requests_are_counted_apart():
    """Without a cost limit a call of unknown price runs, and the report says so."""
    budget = Budget()
    budget.reserve(cost_usd=None).settle(tokens=1)
    budget.reserve(cost_usd=None).settle(tokens=1, cost_usd=0.5)
    budget.reserve(cost_usd=0.1).settle(tokens=1)
    report = budget.report()
    assert (report.unpriced_requests, report.requests, report.cost_usd) == (1, 3, 0.6)


def test_time_runs_from_the_first_reservation():
    """The wall clock starts with the first call, not with the construction."""
    clock = StillClock()
    budget = Budget(max_seconds=10, clock=clock)
    clock.seconds = 200
    assert (budget.remaining_seconds(), budget.report().seconds) == (10, 0)
    budget.reserve()
    clock.seconds = 209
    budget.reserve()
    assert (budget.remaining_seconds(), budget.report().seconds) == (1, 9)
    clock.seconds = 210
    with pytest.raises(BudgetExceededError) as raised:
        budget.reserve()
    assert raised.value.limit == "seconds"
    assert budget.remaining_seconds() == 0
    assert Budget().remaining_seconds() == math.inf


def test_decimal_limits_are_exact():
    """Three calls of 0.1 fit into 0.3, although three floats of 0.1 do not."""
    budget = Budget(max_cost_usd=0.3)
    for _ in range(3):
        budget.reserve(cost_usd=0.1).settle(cost_usd=0.1)
    assert budget.report().cost_usd == 0.3
    with pytest.raises(BudgetExceededError):
        budget.reserve(cost_usd=1e-9)


@pytest.mark.parametrize("limit", [-1, math.nan, math.inf])
def test_impossible_limits_are_refused(limit):
    """Limits are finite and not negative."""
    with pytest.raises(ConfigError, match="finite"):
        Budget(max_cost_usd=limit)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_budgets_cannot_be_duplicated(duplicate):
    """A copy could be spent in full once more, so there are none."""
    with pytest.raises(TypeError, match="spent in full"):
        duplicate(Budget(max_requests=1))


def test_nested_budgets_hold_together():
    """A call needs room in every budget; one that has none leaves the others untouched."""
    inner, outer = Budget(max_requests=5), Budget(max_requests=1)
    reserve_all([inner, outer]).settle(tokens=7)
    with pytest.raises(BudgetExceededError):
        reserve_all([inner, outer])
    assert (inner.report().requests, outer.report().requests) == (1, 1)
    reserve_all([inner]).release()
    for _ in range(4):
        inner.reserve()
    assert outer.report().tokens == inner.report().tokens == 7


def test_no_thread_count_passes_a_limit():
    """Many threads that reserve and settle at once stop exactly at the limit."""
    budget = Budget(max_requests=500, max_tokens=10_000)
    sent, ready = [], threading.Barrier(8)

    def work():
        ready.wait(10)
        while True:
            try:
                reservation = budget.reserve(tokens=20)
            except BudgetExceededError:
                return
            sent.append(1)
            reservation.settle(tokens=20)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(sent) == 500
    assert (budget.report().requests, budget.report().tokens) == (500, 10_000)


class BudgetMachine(RuleBasedStateMachine):
    """Any interleaving of reservations and settlements, against exact arithmetic."""

    LIMITS = {"requests": 12, "tokens": 300, "cost": Fraction(1, 2)}

    def __init__(self):
        super().__init__()
        self.budget = Budget(max_requests=12, max_tokens=300, max_cost_usd=0.5)
        self.used = dict.fromkeys(self.LIMITS, 0)
        self.open = []

    def reserved(self, name):
        return sum(amount[name] for _, amount in self.open)

    @rule(tokens=st.integers(0, 120), cents=st.integers(0, 20))
    def reserve(self, tokens, cents):
        amount = {"requests": 1, "tokens": tokens, "cost": Fraction(cents, 100)}
        fits = all(
            self.used[name] + self.reserved(name) + amount[name] <= limit
            for name, limit in self.LIMITS.items()
        )
        try:
            reservation = self.budget.reserve(tokens=tokens, cost_usd=cents / 100)
        except BudgetExceededError:
            assert not fits
        else:
            assert fits
            self.open.append((reservation, amount))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.integers(0, 100))
    def settle(self, data, share):
        place = data.draw(st.integers(0, len(self.open) - 1))
        reservation, amount = self.open.pop(place)
        tokens = amount["tokens"] * share // 100
        cents = int(amount["cost"] * share)
        reservation.settle(tokens=tokens, cost_usd=cents / 100)
        used = {"requests": 1, "tokens": tokens, "cost": Fraction(cents, 100)}
        self.used = {name: self.used[name] + used[name] for name in used}

    @precondition(lambda self: self.open)
    @rule()
    def release(self):
        self.open.pop()[0].release()

    @invariant()
    def report_is_exact_and_within_limits(self):
        report = self.budget.report()
        assert report.requests == self.used["requests"] <= 12
        assert report.tokens == self.used["tokens"] <= 300
        assert report.cost_usd == pytest.approx(float(self.used["cost"]), abs=1e-12)
        assert self.used["cost"] <= self.LIMITS["cost"]


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@settings(deadline=None)
@given(texts=st.lists(st.text(), max_size=4), limit=st.none() | st.integers(1, 10**6))
def test_estimate_covers_text_and_reply(texts, limit):
    """An estimate has at least a token per three bytes and the reply at its limit."""
    messages = [{"role": "user", "content": text} for text in texts]
    usage = estimate_usage(messages, {} if limit is None else {"max_tokens": limit})
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    assert usage.prompt_tokens >= size / 3
    assert usage.completion_tokens == (limit or DEFAULT_REPLY_TOKENS)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_estimate_knows_parts_tools_schema_and_choices():
    """Images, tool calls, tools and schemas count, and every choice has its reply."""
    plain = estimate_usage([{"role": "user", "content": "abc"}], {"max_completion_tokens": 5})
    parts = [{"type": "text", "text": "abc"}, {"type": "image_url", "image_url": {"url": "u"}}]
    calls = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
    rich = estimate_usage(
        [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ],
        {"max_completion_tokens": 5, "n": 3, "tools": [{"type": "function"}]},
        {"type": "object"},
    )
    assert (plain.prompt_tokens, plain.completion_tokens) == (9, 5)
    assert rich.prompt_tokens > plain.prompt_tokens + 1500 + 8
    assert rich.completion_tokens == 15
