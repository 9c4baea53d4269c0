"""In-order commit: what a proposal may know, and how the pipeline ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import BudgetExceededError
from opik_optimizer.budget import Account, LeaseSize, Remaining
from opik_optimizer.errors import OptimizerError, ReflectionError
from opik_optimizer.pipeline import (
    GENERATIONS,
    IDLE_LIMIT,
    MOST_IN_FLIGHT,
    Pipeline,
    Proposal,
    StopSwitch,
    current_proposal,
    in_flight_for,
)


def pipeline_of(account: Account, switch: StopSwitch | None = None, in_flight: int = 8) -> Pipeline:
    return Pipeline(
        account,
        switch or StopSwitch(),
        in_flight=in_flight,
        open_proposal=lambda index, lease: Proposal(index=index, lease=lease, best=None, known=0),
    )


def simulate(
    *, seed: int, limit: int, worst: int, in_flight: int, n: int, least: int | None = None
) -> tuple[list[object], Account, int, StopSwitch]:
    """Run proposals that end in an order drawn from a seed; return what was seen."""
    account, switch, log = Account(metric_calls=limit), StopSwitch(), []
    made: set[str] = set()
    state = {"sum": 0}
    order = random.Random(seed)

    async def work(index: int, lease, seen: int) -> tuple[int, int]:
        drawn = random.Random(f"{index}/{seen}")
        keys = [str(drawn.randrange(60)) for _ in range(drawn.randint(0, worst))]
        keys = keys[: lease.metric_calls]
        for _ in range(order.randrange(12)):
            await asyncio.sleep(0)
        lease.take(keys)
        made.update(keys)
        for _ in range(order.randrange(12)):
            await asyncio.sleep(0)
        return seen, len(keys)

    def issue(index: int, lease):
        log.append(("issue", index, state["sum"], lease.metric_calls))
        return work(index, lease, state["sum"]) if index < n else None

    def commit(index: int, outcome: tuple[int, int]) -> None:
        state["sum"] += sum(outcome)
        log.append(("commit", index, outcome, account.metric_calls, account.remaining))

    size = LeaseSize(metric_calls=worst, trials=0, least_metric_calls=least)
    asyncio.run(pipeline_of(account, switch, in_flight).run(issue, commit, size))
    return log, account, len(made), switch


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(0, 80),
    worst=st.integers(1, 12),
    in_flight=st.integers(1, 32),
    orders=st.tuples(st.integers(0, 99), st.integers(100, 199)),
    least=st.one_of(st.none(), st.integers(1, 4)),
)
def test_the_order_in_which_work_ends_makes_no_difference(
    limit: int, worst: int, in_flight: int, orders: tuple[int, int], least: int | None
) -> None:
    """Every issue sees, gets and leaves the same, and calls never pass the limit."""
    runs = [
        simulate(seed=seed, limit=limit, worst=worst, in_flight=in_flight, n=25, least=least)
        for seed in orders
    ]
    assert runs[0][0] == runs[1][0]
    assert runs[0][3] == runs[1][3]
    for log, account, calls, _ in runs:
        assert calls == account.metric_calls <= limit
        commits = [entry[1] for entry in log if entry[0] == "commit"]
        assert commits == list(range(len(commits)))


def test_a_proposal_is_issued_right_after_the_commit_it_waits_for() -> None:
    """Proposal k is issued when exactly the proposals up to k - in_flight are committed."""
    log, _, _, _ = simulate(seed=1, limit=10_000, worst=2, in_flight=3, n=10)
    kinds = [(entry[0], entry[1]) for entry in log]
    assert kinds[:3] == [("issue", 0), ("issue", 1), ("issue", 2)]
    assert kinds[3:9] == [
        ("commit", 0), ("issue", 3), ("commit", 1), ("issue", 4), ("commit", 2), ("issue", 5),
    ]  # fmt: skip


def run(issue: Callable, commit: Callable, **options: object) -> tuple[StopSwitch, Account]:
    account = Account(metric_calls=options.pop("limit", None))
    switch = StopSwitch()
    size = options.pop("size", LeaseSize(metric_calls=1, trials=0))
    asyncio.run(pipeline_of(account, switch, **options).run(issue, commit, size))
    return switch, account


def test_failures_are_committed_in_their_place() -> None:
    """A proposal that the reflection model failed is handed to commit as its error."""
    seen: list[object] = []

    async def work(index: int) -> int:
        if index == 1:
            raise ReflectionError("no idea")
        return index

    run(lambda k, lease: work(k) if k < 3 else None, lambda k, outcome: seen.append(outcome))
    assert [seen[0], type(seen[1]), seen[2]] == [0, ReflectionError, 2]


def test_a_budget_of_models_ends_the_search_with_its_name() -> None:
    """What is under way is still committed, nothing new is issued."""
    issued, seen = [], []

    async def work(index: int) -> int:
        if index == 2:
            raise BudgetExceededError("tokens", allowed=5, used=5)
        return index

    def issue(index: int, lease: object):
        issued.append(index)
        return work(index)

    switch, _ = run(issue, lambda k, outcome: seen.append(outcome), in_flight=4)
    assert switch.reason == "max_tokens"
    assert len(seen) == len(issued) == 6


def test_more_than_a_full_lease_is_a_defect() -> None:
    """An algorithm that declares too little is told so."""

    async def work(lease) -> None:
        lease.take(["a", "b"])

    with pytest.raises(OptimizerError, match="declare the worst case"):
        run(lambda k, lease: work(lease), lambda k, outcome: None)


def test_a_small_last_lease_that_is_not_enough_ends_the_search() -> None:
    """The end of the budget may be too small after all."""

    async def work(lease) -> None:
        lease.take(["a", "b", "c"])

    size = LeaseSize(metric_calls=3, trials=0, least_metric_calls=1)
    switch, account = run(lambda k, lease: work(lease), lambda k, o: None, size=size, limit=2)
    assert switch.reason == "max_metric_calls"
    assert account.metric_calls == 0


def test_other_errors_end_the_run_and_cancel_what_is_under_way() -> None:
    """A defect is not swallowed, and nothing goes on in the background."""
    ended: list[int] = []

    async def work(index: int) -> None:
        try:
            await asyncio.sleep(0)
            if index == 0:
                raise ZeroDivisionError
            await asyncio.Event().wait()
        finally:
            ended.append(index)

    with pytest.raises(ZeroDivisionError):
        run(lambda k, lease: work(k), lambda k, outcome: None, in_flight=3)
    assert sorted(ended) == [0, 1, 2]


def test_a_search_that_gets_nowhere_ends() -> None:
    """Proposals that evaluate nothing new are not made for ever."""

    async def nothing() -> None:
        return None

    switch, _ = run(lambda k, lease: nothing(), lambda k, outcome: None)
    assert switch.reason == "no_usable_proposals"
    assert IDLE_LIMIT >= 50


def test_a_coroutine_function_cannot_issue() -> None:
    """It would read the search's state too late."""

    async def issue(index: int, lease: object) -> None:
        return None

    with pytest.raises(OptimizerError, match="plain function"):
        run(issue, lambda k, outcome: None)


def test_a_proposal_knows_that_it_is_one() -> None:
    """Inside of issue and its coroutine the proposal is at hand, in commit it is not."""
    seen: list[object] = []

    async def work() -> int:
        await asyncio.sleep(0)
        return current_proposal().index

    def issue(index: int, lease: object):
        seen.append(current_proposal().index)
        return work() if index < 2 else None

    run(issue, lambda k, outcome: seen.append((outcome, current_proposal())))
    assert seen == [0, 1, 2, (0, None), (1, None)]


@settings(deadline=None, max_examples=40)
@given(in_flight=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_end_of_a_proposal_sees_all_that_was_committed_before(
    in_flight: int, seed: int
) -> None:
    """``finish`` runs in order, one at a time, and its outcome is what is committed."""
    draw, committed, ends = random.Random(seed), [], []

    async def wait() -> None:
        for _ in range(draw.randrange(6)):
            await asyncio.sleep(0)

    async def work(index: int) -> int:
        await wait()
        return index

    async def finish(index: int, outcome: int) -> tuple[int, int]:
        ends.append(current_proposal().index)
        seen = len(committed)
        await wait()
        assert len(committed) == seen == index  # nothing is committed meanwhile
        return outcome, current_proposal().known

    asyncio.run(
        Pipeline(
            Account(),
            StopSwitch(),
            in_flight=in_flight,
            open_proposal=lambda i, lease: Proposal(index=i, lease=lease, best=None, known=-1),
            refresh=lambda proposal: setattr(proposal, "known", len(committed)),
        ).run(
            lambda k, lease: work(k) if k < 7 else None,
            lambda k, outcome: committed.append(outcome),
            LeaseSize(metric_calls=0, trials=0),
            finish=finish,
        )
    )
    assert committed == [(k, k) for k in range(7)]
    assert ends == list(range(7))


def test_a_failure_at_the_end_is_committed_like_any_other() -> None:
    """What ``finish`` raises takes the outcome's place."""
    committed: list[object] = []
    failure = ReflectionError("nothing usable")

    async def work() -> int:
        return 0

    async def finish(index: int, outcome: int) -> int:
        raise failure

    asyncio.run(
        pipeline_of(Account()).run(
            lambda k, lease: work() if k == 0 else None,
            lambda k, outcome: committed.append(outcome),
            LeaseSize(metric_calls=0, trials=0),
            finish=finish,
        )
    )
    assert committed == [failure]


@given(
    calls=st.none() | st.integers(0, 10_000),
    trials=st.none() | st.integers(0, 1_000),
    worst=st.integers(0, 300),
    each=st.integers(0, 4),
)
def test_as_many_in_flight_as_the_budget_has_generations_for(
    calls: int | None, trials: int | None, worst: int, each: int
) -> None:
    """From 1 to the most, and beyond 1 only if that many last for all generations."""
    found = in_flight_for(
        Remaining(metric_calls=calls, trials=trials), LeaseSize(metric_calls=worst, trials=each)
    )
    assert 1 <= found <= MOST_IN_FLIGHT
    if found > 1:
        assert calls is None or found * worst * GENERATIONS <= calls
        assert trials is None or found * each * GENERATIONS <= trials
    if calls is None and trials is None:
        assert found == MOST_IN_FLIGHT
