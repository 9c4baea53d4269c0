"""Limits, leases and what they charge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import BudgetExceededError
from opik_optimizer.budget import Account, Budget, LeaseSize, Remaining, stop_reason_of
from opik_optimizer.errors import BudgetExhaustedError, SettingsError

KEYS = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=8)


@given(
    limit=st.integers(0, 30),
    steps=st.lists(st.tuples(st.integers(0, 8), KEYS, st.booleans()), max_size=30),
)
def test_charges_and_reservations_never_pass_the_limit(
    limit: int, steps: list[tuple[int, list[str], bool]]
) -> None:
    """Whatever is leased, taken, settled, released or charged, the sum stays within the limit."""
    account, paid, open_leases = Account(metric_calls=limit), set(), []
    for size, keys, settles in steps:
        lease = account.lease(LeaseSize(metric_calls=size), partly=True)
        if lease is not None:
            open_leases.append((lease, []))
        for held, taken in open_leases:
            try:
                held.take(keys)
                taken.extend(keys)
            except BudgetExhaustedError:
                assert held.remaining.metric_calls is not None
        if settles and open_leases:
            held, taken = open_leases.pop(0)
            held.settle()
            paid.update(taken)
        try:
            account.charge(keys)
            paid.update(keys)
        except BudgetExhaustedError:
            pass
        reserved = sum(held.metric_calls for held, _ in open_leases)
        assert account.metric_calls == len(paid)
        assert account.metric_calls + reserved <= limit
        assert account.remaining.metric_calls == limit - len(paid) - reserved


def test_a_key_is_charged_once() -> None:
    """The first step that needs a key pays for it."""
    account = Account(metric_calls=10)
    account.charge(["a", "b"])
    account.charge(["b", "c"])
    assert account.metric_calls == 3


def test_a_lease_does_not_see_what_others_charge_meanwhile() -> None:
    """What a lease may use depends on what was charged when it began alone."""
    account = Account(metric_calls=10)
    first = account.lease(LeaseSize(metric_calls=2))
    second = account.lease(LeaseSize(metric_calls=2))
    assert first is not None
    assert second is not None
    first.take(["a", "b"])
    assert first.settle().metric_calls == 2
    second.take(["a", "b"])
    with pytest.raises(BudgetExhaustedError):
        second.take(["c"])
    assert not second.settle()
    later = account.lease(LeaseSize(metric_calls=1))
    assert later is not None
    later.take(["a", "b", "c"])


def test_a_refused_step_takes_nothing() -> None:
    """Neither keys nor the trial are taken if one of them does not fit."""
    account = Account(trials=1, metric_calls=3)
    lease = account.lease(LeaseSize(metric_calls=2))
    assert lease is not None
    with pytest.raises(BudgetExhaustedError) as refusal:
        lease.take(["a", "b", "c"], "candidate")
    assert lease.remaining == Remaining(trials=1, metric_calls=2)
    assert stop_reason_of(refusal.value) == "max_metric_calls"
    lease.take(["a"], "candidate")
    lease.take(["a"], "candidate")
    with pytest.raises(BudgetExhaustedError, match="trials"):
        lease.take(["a"], "another")


def test_an_account_refuses_in_full() -> None:
    """Outside of leases a step that does not fit charges nothing."""
    account = Account(trials=1, metric_calls=2)
    with pytest.raises(BudgetExceededError):
        account.charge(["a", "b", "c"], "x")
    account.charge(["a"], "x")
    with pytest.raises(BudgetExceededError):
        account.charge(["b"], "y")
    assert (account.trials, account.metric_calls) == (1, 1)


def test_exempt_candidates_cost_no_trial() -> None:
    """The initial prompt leaves all trials to the search."""
    account = Account(trials=1)
    account.exempt("seed")
    account.exempt("seed")
    account.charge([], "seed")
    account.charge([], "x")
    assert account.trials == 1
    assert account.remaining.trials == 0


@pytest.mark.parametrize(
    ("left", "least", "granted"), [(5, None, None), (5, 3, 5), (2, 3, None), (0, 0, None)]
)
def test_the_end_of_the_budget_is_offered_if_it_is_of_use(
    left: int, least: int | None, granted: int | None
) -> None:
    """A smaller lease is given on request, and only if it is large enough."""
    account = Account(metric_calls=left)
    size = LeaseSize(metric_calls=6, least_metric_calls=least)
    assert account.lease(size) is None
    lease = account.lease(size, partly=True)
    assert (lease and lease.metric_calls) == granted
    assert lease is None or not lease.is_full
    assert account.shortage(size) == "max_metric_calls"
    assert Account(trials=0).shortage(size) == "max_trials"


def test_a_lease_gives_back_what_it_will_not_need() -> None:
    """A shrunken lease lets others have the rest, and is itself held to what it kept."""
    account = Account(metric_calls=10)
    lease = account.lease(LeaseSize(metric_calls=8))
    lease.shrink(3)
    lease.shrink(5)  # it never grows
    assert (lease.metric_calls, account.remaining.metric_calls) == (3, 7)
    lease.take(["a", "b", "c"])
    with pytest.raises(BudgetExhaustedError):
        lease.take(["d"])
    assert lease.settle().metric_calls == 3
    assert account.remaining.metric_calls == 7


def test_a_released_lease_leaves_no_trace() -> None:
    """What was not used comes back, and a lease ends once."""
    account = Account(metric_calls=5)
    lease = account.lease(LeaseSize(metric_calls=5))
    assert lease is not None
    lease.release()
    assert account.remaining.metric_calls == 5
    with pytest.raises(RuntimeError):
        lease.settle()


@pytest.mark.parametrize(
    "wrong", [{"trials": -1}, {"tokens": 1.5}, {"cost_usd": float("nan")}, {"seconds": True}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """The text names the limit."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Budget(**wrong)


def test_models_keep_their_part_of_the_budget() -> None:
    """Model calls, tokens, cost and time are handed on under the models' names."""
    models = Budget(model_calls=1, tokens=2, cost_usd=3.0, seconds=4.0).of_models()
    assert (models.max_requests, models.max_tokens) == (1, 2)
    assert (models.max_cost_usd, models.max_seconds) == (3.0, 4.0)
