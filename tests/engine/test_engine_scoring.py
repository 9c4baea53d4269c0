"""Scoring one unit: arguments, concurrency, failures as values."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from opik_eval.engine.failures import InterruptError
from opik_eval.engine.scorers import prepare_scorers
from opik_eval.engine.scoring import (
    ScoringInputs,
    ScoringPlan,
    ran_out_of_budget,
    score_concurrently,
    score_inline,
)
from opik_eval.engine.threads import DaemonThreads
from opik_eval.errors import BudgetExceededError, ConfigError, MetricError, MissingArgumentError
from opik_eval.metrics import BaseMetric, Equals, ScoreResult


def scored(metric: object, **output: object) -> list[ScoreResult]:
    plan = ScoringPlan(prepare_scorers([metric], ()))
    return score_inline(plan, plan.merge({"id": "i"}, {"output": 1, **output}, None))


class Returns(BaseMetric):
    """Returns, or raises, what it is given."""

    def __init__(self, value: object) -> None:
        super().__init__(name="returns")
        self.value = value

    def score(self, **ignored: object) -> Any:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class ReturnsLater(Returns):
    async def ascore(self, **ignored: object) -> Any:  # type: ignore[override]
        return self.score()


def concurrently(*metrics: object) -> list[ScoreResult]:
    plan = ScoringPlan(prepare_scorers(metrics, ()))
    inputs = plan.merge({}, {"output": 1}, None)
    threads = DaemonThreads(4, name="scoring-test")
    try:
        return asyncio.run(score_concurrently(plan, inputs, threads))
    finally:
        threads.shutdown(wait=False)


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit("x"), asyncio.CancelledError("x"), MetricError("x")]
)
@pytest.mark.parametrize("kind", [Returns, ReturnsLater])
def test_what_a_metric_raises_is_a_failed_score(error: BaseException, kind: type) -> None:
    """Exceptions of any kind fail the score, with their type and traceback; the program goes on."""
    metric = kind(error)
    scores = concurrently(metric) if kind is ReturnsLater else scored(metric)
    assert [s.scoring_failed for s in scores] == [True]
    info = (scores[0].metadata or {})["error_info"]
    assert info["exception_type"] == type(error).__name__
    assert "Traceback" in info["traceback"]


@pytest.mark.parametrize("kind", [Returns, ReturnsLater])
def test_keyboard_interrupt_of_a_metric_is_no_score(kind: type) -> None:
    """KeyboardInterrupt is for the run, whichever way the metric runs."""
    with pytest.raises(InterruptError):
        concurrently(kind(KeyboardInterrupt()))
    if kind is Returns:
        with pytest.raises(InterruptError):
            scored(kind(KeyboardInterrupt()))


def test_a_wrapped_budget_error_is_recognised() -> None:
    """A judge that wraps the budget's error in its own does not hide it."""
    error = RuntimeError("judge failed")
    error.__cause__ = BudgetExceededError("cost_usd", allowed=1, used=1)
    assert ran_out_of_budget(scored(Returns(error)))
    assert not ran_out_of_budget(scored(Returns(ValueError("x"))))
    assert not ran_out_of_budget(scored(Returns(1.0)))
    odd = ScoreResult("m", None, scoring_failed=True, metadata={"error_info": "text"})
    assert not ran_out_of_budget([odd, ScoreResult("m", None, scoring_failed=True)])


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (ScoreResult(5, 1.0), ScoreResult("5", 1.0)),  # type: ignore[arg-type]
        (
            ScoreResult("m", 1.0, reason=ValueError("why")),  # type: ignore[arg-type]
            ScoreResult("m", 1.0, reason="why"),
        ),
        (
            ScoreResult("m", 1.0, category_name=3),  # type: ignore[arg-type]
            ScoreResult("m", 1.0, category_name="3"),
        ),
        (
            ScoreResult("m", 1.0, metadata={1: "x"}),  # type: ignore[dict-item]
            ScoreResult("m", 1.0, metadata={"1": "x"}),
        ),
        (
            [ScoreResult("a", 1.0), ScoreResult("b", 0.0, reason=7)],  # type: ignore[arg-type]
            [ScoreResult("a", 1.0), ScoreResult("b", 0.0, reason="7")],
        ),
    ],
)
def test_fields_that_should_be_texts_are_made_texts(returned: object, expected: object) -> None:
    """A metric that puts numbers or exceptions where texts belong does not break the store."""
    wanted = expected if isinstance(expected, list) else [expected]
    assert scored(Returns(returned)) == wanted


def test_metadata_that_is_no_mapping_fails_the_score() -> None:
    """Metadata of another kind cannot be stored; the score says so."""
    (score,) = scored(Returns(ScoreResult("m", 1.0, metadata=[1])))  # type: ignore[arg-type]
    assert score.scoring_failed
    assert "metadata is a list" in (score.reason or "")


def test_a_new_lone_metric_runs_inline_until_it_turns_out_slow() -> None:
    """Fast metrics run in the task's thread; slow, asynchronous and several new ones beside it."""
    (one,) = prepare_scorers([Equals()], ())
    assert ScoringPlan((one,)).is_inline
    one.observe(0.5)
    assert not ScoringPlan((one,)).is_inline
    for _ in range(40):
        one.observe(0.00001)
    assert ScoringPlan((one,)).is_inline
    assert not ScoringPlan(prepare_scorers([Returns(1.0), Equals()], ())).is_inline
    assert not ScoringPlan(prepare_scorers([ReturnsLater(1.0)], ())).is_inline
    assert ScoringPlan(()).is_inline


def test_metrics_in_threads_see_the_callers_context() -> None:
    """Context variables of whoever scores are visible in synchronous and asynchronous metrics."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")
    main = threading.get_ident()

    class Sees(BaseMetric):
        def score(self, **ignored: object) -> ScoreResult:
            assert threading.get_ident() != main
            return ScoreResult("sees", 1.0, reason=variable.get())

    class SeesLater(BaseMetric):
        async def ascore(self, **ignored: object) -> ScoreResult:
            return ScoreResult("sees later", 1.0, reason=variable.get())

    assert [score.reason for score in concurrently(Sees(), SeesLater())] == ["mine", "mine"]


def test_cancelling_is_not_a_failed_score() -> None:
    """When the run is cancelled, a metric that waits is cancelled, not recorded as failed."""

    class Waits(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            waiting.set()
            await asyncio.Event().wait()
            return 1.0

    waiting: asyncio.Event

    async def main() -> None:
        nonlocal waiting
        waiting = asyncio.Event()
        plan = ScoringPlan(prepare_scorers([Waits()], ()))
        threads = DaemonThreads(1, name="scoring-test")
        running = asyncio.create_task(score_concurrently(plan, plan.merge({}, {}, None), threads))
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())


class Duck:
    """A metric by its methods alone."""

    def score(self, output: object) -> float:
        return 1.0


class LaterDuck:
    name = "later"

    async def ascore(self, output: object) -> float:
        return 1.0


def by_item(dataset_item: dict, task_outputs: dict) -> float:
    return float(dataset_item["id"] == "i" and task_outputs["output"] == 1)


def by_output(output: object) -> float:
    return 1.0


def test_everything_that_scores_is_taken() -> None:
    """Objects with score or ascore, and functions in either list, are scorers."""
    scorers = prepare_scorers([Duck(), LaterDuck(), by_output], [by_item])
    assert [(s.name, s.is_async, s.by_item) for s in scorers] == [
        ("Duck", False, False),
        ("later", True, False),
        ("by_output", False, False),
        ("by_item", False, True),
    ]
    plan = ScoringPlan((scorers[0], scorers[2], scorers[3]))
    scores = score_inline(plan, plan.merge({"id": "i"}, {"output": 1}, None))
    assert [s.value for s in scores] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("metrics", "functions", "said"),
    [
        ([3], [], "holds a int, which is not a metric"),
        ([], [3], "holds a int, which cannot be called"),
        ([Equals], [], "the class Equals"),
        ([], [by_item, by_item], "two metrics are called 'by_item'"),
    ],
)
def test_what_cannot_score_is_refused(metrics: list, functions: list, said: str) -> None:
    """Anything else is an error that says what to pass."""
    with pytest.raises(ConfigError, match=said):
        prepare_scorers(metrics, functions)


def test_a_metric_gets_its_positional_arguments_and_its_span() -> None:
    """Positional-only arguments are passed by place; the span tree is made only if wanted."""
    made: list[str] = []

    class Odd(BaseMetric):
        def score(self, output: int, /, task_span: object = None) -> float:
            return float(output == 1 and task_span == "tree")

    def make() -> object:
        made.append("tree")
        return "tree"

    plan = ScoringPlan(prepare_scorers([Odd()], ()))
    assert plan.wants_span
    assert score_inline(plan, plan.merge({}, {"output": 1}, make))[0].value == 1.0
    other = ScoringPlan(prepare_scorers([Equals()], ()))
    score_inline(other, other.merge({}, {"output": 1, "reference": 1}, make))
    assert made == ["tree"]


def test_missing_arguments_are_named_at_the_call() -> None:
    """A call that lacks an argument fails with its name and what there was."""
    inputs = ScoringInputs({"output": 1}, {}, {})
    (scorer,) = prepare_scorers([Equals()], ())
    with pytest.raises(MissingArgumentError, match="'reference'"):
        inputs.for_scorer(scorer)


def test_checking_knows_mappings_items_and_spans() -> None:
    """Nothing is missing if a mapping, the item or the engine supplies it."""

    def with_span(dataset_item: dict, task_outputs: dict, task_span: object) -> float:
        return 1.0

    def odd(dataset_item: dict, reference: str) -> float:
        return 1.0

    ScoringPlan(prepare_scorers([], [with_span])).check({}, [])
    ScoringPlan(prepare_scorers([Equals()], ()), {"reference": len}).check({}, ["output"])
    ScoringPlan(prepare_scorers([Equals()], ()), {"reference": "a"}).check({"a": 1}, ["output"])
    ScoringPlan(prepare_scorers([Equals()], ())).check({}, None)
    with pytest.raises(MissingArgumentError, match="'reference'"):
        ScoringPlan(prepare_scorers([], [odd])).check({"reference": 1}, ["output"])
    with pytest.raises(MissingArgumentError, match="'b'"):
        ScoringPlan(prepare_scorers([Equals()], ()), {"reference": "b"}).check({}, ["output"])


def test_mapping_goes_in_order_and_misses_are_left_to_the_metric() -> None:
    """Later functions see what earlier entries set; a target that is not there sets nothing."""
    plan = ScoringPlan((), {"a": "text", "b": lambda row: row["a"] + "!", "c": "nowhere"})
    merged = plan.merge({"text": "x"}, {}, None).merged
    assert (merged["a"], merged["b"], "c" in merged) == ("x", "x!", False)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_mapping_that_raises_names_itself(error: BaseException) -> None:
    """A mapping function that raises, or exits, is named with what it was called with."""

    def fails(row: dict) -> object:
        raise error

    with pytest.raises(MetricError, match=r"scoring_key_mapping\['a'\] raised"):
        ScoringPlan((), {"a": fails}).merge({"text": 1}, {}, None)
