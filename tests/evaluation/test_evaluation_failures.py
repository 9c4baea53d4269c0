"""What goes wrong in tasks and metrics costs what went wrong, and is said clearly."""

from __future__ import annotations

import asyncio
import math
import threading

import pytest

from opik_eval import ErrorTolerance, aevaluate, evaluate, evaluate_on_dict_items
from opik_eval.errors import ConfigError, DatasetError, MissingArgumentError, TaskError
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.metrics import BaseMetric, Contains, Equals, ScoreResult
from opik_eval.storage.base import Storage
from opik_eval.tracing.context import start_span

ITEMS = [{"question": f"q{n}", "reference": f"q{n}"} for n in range(20)]


def echo(item: dict) -> dict:
    return {"output": item["question"]}


def quietly(storage: Storage, **options: object) -> EvaluateOptions:
    return {"storage": storage, "verbose": 0, **options}  # type: ignore[typeddict-item]


def test_task_error_costs_one_item(storage: Storage) -> None:
    """A task that raises gives an item with the error; all others are scored."""

    def task(item: dict) -> dict:
        if item["question"] == "q3":
            raise ValueError("boom")
        return echo(item)

    result = evaluate(ITEMS, task, [Equals()], **quietly(storage))
    assert result.task_errors == 1
    failed = result.test_results[3]
    assert failed.error is not None
    assert failed.error.exception_type == "ValueError"
    assert failed.score_results == []
    assert result.aggregate_evaluation_scores().aggregated_scores["equals_metric"].n == 19
    assert "boom" in result.warnings[0]


def test_failed_trace_keeps_the_error(storage: Storage) -> None:
    """The trace of a failed task carries its exception."""

    def task(item: dict) -> dict:
        raise KeyError("missing")

    evaluate(ITEMS[:1], task, **quietly(storage))
    (trace,) = storage.list_traces()
    assert trace.error_info is not None
    assert trace.error_info.exception_type == "KeyError"
    assert trace.output is None


def test_system_exit_in_a_task_is_an_item_error(storage: Storage) -> None:
    """A task that calls sys.exit does not end the program."""

    def task(item: dict) -> dict:
        raise SystemExit(3)

    result = evaluate(ITEMS[:2], task, **quietly(storage))
    assert result.task_errors == 2


@pytest.mark.parametrize(
    ("returned", "named"), [("text", "a str"), (None, "None"), (3.5, "a float"), ([1], "a list")]
)
def test_wrong_return_type_is_named(storage: Storage, returned: object, named: str) -> None:
    """A task that returns no mapping is told which type it returned and what to return."""
    result = evaluate(ITEMS[:1], lambda item: returned, **quietly(storage))
    error = result.test_results[0].error
    assert error is not None
    assert f"returned {named}" in (error.message or "")
    assert "{'output': answer}" in (error.message or "")


def test_coroutine_from_a_plain_function_is_explained(storage: Storage) -> None:
    """A plain function that returns a coroutine is told to be async."""

    async def inner() -> dict:
        return {}

    result = evaluate(ITEMS[:1], lambda item: inner(), **quietly(storage))
    assert "async def" in (result.test_results[0].error.message or "")  # type: ignore[union-attr]


def test_async_tasks_work(storage: Storage) -> None:
    """Coroutine functions are tasks like any other."""

    async def task(item: dict) -> dict:
        await asyncio.sleep(0)
        return echo(item)

    result = evaluate(ITEMS, task, [Equals()], **quietly(storage))
    assert [r.score_results[0].value for r in result.test_results] == [1.0] * 20


def test_results_come_in_dataset_order(storage: Storage) -> None:
    """Whatever finishes first, results stand in dataset order, trials side by side."""
    release = threading.Event()

    def task(item: dict) -> dict:
        if item["question"] == "q0":
            release.wait(10)
        elif item["question"] == "q19":
            release.set()
        return echo(item)

    result = evaluate(ITEMS, task, **quietly(storage, trial_count=2, task_threads=40))
    questions = [r.test_case.dataset_item_content["question"] for r in result.test_results]
    assert questions == [f"q{n}" for n in range(20) for _ in range(2)]
    assert [r.trial_id for r in result.test_results] == [0, 1] * 20


def test_metric_error_is_a_failed_score(storage: Storage) -> None:
    """A metric that raises gives a failed score without value; the others count."""

    def broken(dataset_item: dict, task_outputs: dict) -> float:
        raise RuntimeError("no score today")

    result = evaluate(ITEMS, echo, [Equals()], **quietly(storage, scoring_functions=[broken]))
    scores = result.aggregate_evaluation_scores().aggregated_scores
    assert scores["equals_metric"].mean == 1.0
    assert scores["broken"].n == 0
    assert scores["broken"].failed_count == 20
    failed = result.test_results[0].score_results[1]
    assert failed.scoring_failed
    assert failed.value is None
    assert "no score today" in (failed.reason or "")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_values_without_meaning_are_unscored(storage: Storage, value: float | None) -> None:
    """None and NaN are counted as unscored and stay out of the mean."""

    class Sometimes(BaseMetric):
        def score(self, output: str, **ignored: object) -> ScoreResult:
            return ScoreResult("sometimes", 1.0 if output == "q0" else value)

    result = evaluate(ITEMS, echo, [Sometimes()], **quietly(storage))
    scores = result.aggregate_evaluation_scores().aggregated_scores["sometimes"]
    assert (scores.mean, scores.n, scores.unscored_count, scores.failed_count) == (1.0, 1, 19, 0)


@pytest.mark.parametrize(("returned", "value"), [(True, 1.0), (0.25, 0.25), (2, 2.0)])
def test_plain_returns_are_scores(storage: Storage, returned: object, value: float) -> None:
    """A metric may return a bool or a number."""

    class Plain(BaseMetric):
        def score(self, output: str, **ignored: object) -> object:
            return returned

    result = evaluate(ITEMS[:1], echo, [Plain()], **quietly(storage))
    assert result.test_results[0].score_results[0].value == value
    assert result.test_results[0].score_results[0].name == "Plain"


def test_metric_that_returns_nonsense_fails_with_its_type(storage: Storage) -> None:
    """A metric that returns what is no score fails, and the text names the type."""

    class Odd(BaseMetric):
        def score(self, output: str, **ignored: object) -> object:
            return object()

    result = evaluate(ITEMS[:1], echo, [Odd()], **quietly(storage))
    assert "returned object" in (result.test_results[0].score_results[0].reason or "")


def test_only_ascore_is_enough(storage: Storage) -> None:
    """A metric that implements only ascore is called."""

    class Later(BaseMetric):
        async def ascore(self, output: str, **ignored: object) -> float:
            await asyncio.sleep(0)
            return 0.5

    result = evaluate(ITEMS[:3], echo, [Later()], **quietly(storage))
    assert [r.score_results[0].value for r in result.test_results] == [0.5] * 3


def test_metrics_of_an_item_run_beside_each_other(storage: Storage) -> None:
    """Metrics that wait for each other all finish: they run at once."""
    barrier = threading.Barrier(3, timeout=20)

    def waits(name: str) -> BaseMetric:
        class Waits(BaseMetric):
            def score(self, output: str, **ignored: object) -> float:
                barrier.wait()
                return 1.0

        return Waits(name=name)

    metrics = [waits("a"), waits("b"), waits("c")]
    result = evaluate(ITEMS[:1], echo, metrics, **quietly(storage))
    assert [s.value for s in result.test_results[0].score_results] == [1.0, 1.0, 1.0]


def test_missing_argument_is_found_before_the_first_task(storage: Storage) -> None:
    """A metric argument that nothing supplies is found before any task runs."""
    calls: list[dict] = []

    def task(item: dict) -> dict:
        calls.append(item)
        return {"output": "x"}

    with pytest.raises(MissingArgumentError, match="needs 'reference'"):
        evaluate([{"question": "q"}], task, [Equals()], **quietly(storage))
    assert calls == []


def test_missing_argument_stops_a_task_of_unknown_output_early(storage: Storage) -> None:
    """Where the task's keys cannot be known, the first output decides and the run stops."""
    calls: list[dict] = []

    def task(item: dict) -> dict:
        calls.append(item)
        output = {}
        output["output"] = "x"
        return output

    with pytest.raises(MissingArgumentError):
        evaluate(
            [{"question": f"q{n}"} for n in range(500)],
            task,
            [Equals()],
            **quietly(storage, task_threads=1),
        )
    assert len(calls) < 100


def test_missing_arguments_are_failed_scores_if_tolerated(storage: Storage) -> None:
    """With ALL_SCORING_ERRORS a missing argument is a failed score of that item."""
    items = [{"question": "a", "reference": "a"}, {"question": "b"}]
    tolerance = ErrorTolerance.ALL_SCORING_ERRORS
    result = evaluate(items, echo, [Equals()], **quietly(storage, error_tolerance=tolerance))
    assert [r.score_results[0].scoring_failed for r in result.test_results] == [False, True]


def test_mapping_may_rename_and_compute(storage: Storage) -> None:
    """Keys are mapped by name and by function, in order; functions see item and output."""
    mapping = {
        "reference": "expected",
        "output": lambda row: row["answer"].strip(),
    }
    result = evaluate(
        [{"question": "a", "expected": "A"}],
        lambda item: {"answer": " A "},
        [Equals(case_sensitive=True)],
        **quietly(storage, scoring_key_mapping=mapping),
    )
    assert result.test_results[0].score_results[0].value == 1.0
    assert result.test_results[0].test_case.mapped_scoring_inputs is not None


@pytest.mark.parametrize("is_async", [False, True])
def test_functions_of_the_mapping_may_wait_for_coroutines(
    storage: Storage, *, is_async: bool
) -> None:
    """A mapping function never runs on the event loop of the tasks, so it may have its own."""

    async def look_up(row: dict) -> str:
        return row["question"]

    async def echo_later(item: dict) -> dict:
        return echo(item)

    mapping = {"reference": lambda row: asyncio.run(look_up(row))}
    task = echo_later if is_async else echo
    options = quietly(storage, scoring_key_mapping=mapping)
    result = evaluate([{"question": "a"}, {"question": "b"}], task, [Equals()], **options)
    assert [r.score_results[0].value for r in result.test_results] == [1.0, 1.0]


def test_an_interrupt_inside_the_mapping_ends_the_run(storage: Storage) -> None:
    """``KeyboardInterrupt`` in a mapping function is Ctrl-C, wherever it runs."""

    def interrupt(row: dict) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            ITEMS, echo, [Equals()], **quietly(storage, scoring_key_mapping={"output": interrupt})
        )


@pytest.mark.parametrize("is_async", [False, True])
def test_a_cancelled_task_keeps_its_trace(storage: Storage, *, is_async: bool) -> None:
    """What a task awaits may be cancelled by others: its item fails, and the trace tells why."""

    def cancelled(item: dict) -> dict:
        with start_span("before"):
            raise asyncio.CancelledError("elsewhere")

    async def cancelled_later(item: dict) -> dict:
        return cancelled(item)

    task = cancelled_later if is_async else cancelled
    result = evaluate(ITEMS[:1], task, [Equals()], **quietly(storage))
    (failed,) = result.test_results
    assert failed.error is not None
    assert failed.error.exception_type == "CancelledError"
    trace = storage.find_trace(failed.test_case.trace_id or "")
    assert trace is not None
    assert trace.error_info is not None
    assert [span.name for span in storage.list_spans(trace_ids=[trace.id])] == ["before"]


def test_mapping_that_raises_fails_the_scores_of_its_item(storage: Storage) -> None:
    """A mapping function that raises costs the scores of that item, not the run."""
    mapping = {"reference": lambda row: row["rows"][0]}
    items = [{"question": "a", "rows": ["a"]}, {"question": "b", "rows": []}]
    result = evaluate(items, echo, [Equals()], **quietly(storage, scoring_key_mapping=mapping))
    first, second = (r.score_results[0] for r in result.test_results)
    assert first.value == 1.0
    assert second.scoring_failed
    assert "scoring_key_mapping['reference'] raised IndexError" in (second.reason or "")


def test_mapping_to_an_unknown_key_is_found_before_the_run(storage: Storage) -> None:
    """A mapping to a key that does not exist is an error before any task runs."""
    with pytest.raises(MissingArgumentError, match="expected_answer"):
        evaluate(
            ITEMS,
            lambda item: {"output": "x"},
            [Equals()],
            **quietly(storage, scoring_key_mapping={"reference": "expected_answer"}),
        )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dataset_item_ids": []}, "dataset_item_ids is empty"),
        ({"nb_samples": 0}, "nb_samples=0"),
        ({"trial_count": 0}, "trial_count=0"),
        ({"task_threads": 0}, "task_threads=0"),
        ({"max_errors": -1}, "max_errors=-1"),
        ({"trial_count": True}, "trial_count=True"),
        ({"timeout_seconds": 0}, "timeout_seconds=0"),
        ({"cache": "sometimes"}, "cache='sometimes'"),
        ({"executor": "threads"}, "executor='threads'"),
        ({"resume": True}, "needs experiment_name"),
    ],
)
def test_edge_values_are_errors(storage: Storage, options: dict, error: str) -> None:
    """Values that would run everything, nothing or something else are refused."""
    with pytest.raises(ConfigError, match=error.replace("(", r"\(")):
        evaluate(ITEMS, echo, [Equals()], **quietly(storage, **options))


def test_unknown_keyword_is_a_type_error_with_a_suggestion(storage: Storage) -> None:
    """A misspelt option is a TypeError that names what was meant."""
    with pytest.raises(TypeError, match="did you mean 'task_threads'"):
        evaluate(ITEMS, echo, task_thread=3, **quietly(storage))  # type: ignore[call-arg]


def test_two_metrics_of_one_name_are_refused(storage: Storage) -> None:
    """Scores of two metrics never merge under one name."""
    with pytest.raises(ConfigError, match="two metrics are called 'equals_metric'"):
        evaluate(ITEMS, echo, [Equals(), Equals(case_sensitive=True)], **quietly(storage))


def test_metric_class_without_parentheses_is_explained(storage: Storage) -> None:
    """Passing the class instead of a metric says how to write it."""
    with pytest.raises(ConfigError, match="the class Contains"):
        evaluate(ITEMS, echo, [Contains], **quietly(storage))


def test_empty_dataset_is_refused(storage: Storage) -> None:
    """There is nothing to evaluate in an empty list."""
    with pytest.raises(DatasetError, match="no items"):
        evaluate([], echo, **quietly(storage))


@pytest.mark.parametrize("task", ["no function", lambda: {}, lambda a, b: {}])
def test_task_that_cannot_take_one_item_is_refused(storage: Storage, task: object) -> None:
    """A task must take exactly one item; found before anything runs."""
    with pytest.raises(TaskError):
        evaluate(ITEMS, task, **quietly(storage))  # type: ignore[arg-type]


def test_user_keys_never_collide(storage: Storage) -> None:
    """Fields with the names of our own reach task and metrics unchanged."""
    names = ("source", "description", "trace_id", "span_id", "evaluators", "tags", "data", "id")
    item = {name: f"mine-{name}" for name in names}
    seen: list[dict] = []

    def task(given: dict) -> dict:
        seen.append(given)
        return {"output": given["source"], "reference": "mine-source"}

    result = evaluate([item], task, [Equals()], **quietly(storage))
    assert seen == [item]
    assert result.test_results[0].score_results[0].value == 1.0


def test_dict_items_with_reserved_keys_reach_the_task(storage: Storage) -> None:
    """evaluate_on_dict_items takes any field names, and runs without metrics too."""
    item = {"id": 7, "source": "s", "description": "d"}
    result = evaluate_on_dict_items([item], lambda given: {"output": given}, storage=storage)
    assert result.test_results[0].test_case.task_output == {"output": item}


def test_max_errors_stops_the_run(storage: Storage) -> None:
    """More task errors than max_errors allows end the run early, with what is done."""

    def task(item: dict) -> dict:
        raise ValueError("always")

    items = [{"n": n} for n in range(1000)]
    result = evaluate(items, task, **quietly(storage, max_errors=3, task_threads=2))
    assert result.status == "stopped"
    assert "max_errors" in (result.stop_reason or "")
    assert 4 <= result.task_errors < 100


def test_slow_task_is_an_error_of_its_item(storage: Storage) -> None:
    """A task that overstays timeout_seconds costs its item; the others are not held up."""
    release = threading.Event()

    def task(item: dict) -> dict:
        if item["question"] == "q1":
            release.wait(20)
        return echo(item)

    options = quietly(storage, timeout_seconds=0.2, task_threads=1)
    result = evaluate(ITEMS[:4], task, [Equals()], **options)
    release.set()
    assert [r.error is not None for r in result.test_results] == [False, True, False, False]
    assert "timeout_seconds=0.2" in (result.test_results[1].error.message or "")  # type: ignore[union-attr]


async def _forever(item: dict) -> dict:
    if item["question"] == "q1":
        await asyncio.Event().wait()
    return echo(item)


def test_slow_coroutine_is_cancelled(storage: Storage) -> None:
    """A coroutine that overstays timeout_seconds is cancelled and costs its item."""
    result = evaluate(ITEMS[:3], _forever, **quietly(storage, timeout_seconds=0.1))
    assert [r.error is not None for r in result.test_results] == [False, True, False]


def test_timeout_of_the_task_itself_is_told_apart(storage: Storage) -> None:
    """A TimeoutError that the task raises is reported as its own."""

    async def task(item: dict) -> dict:
        raise TimeoutError("the database took too long")

    result = evaluate(ITEMS[:1], task, **quietly(storage, timeout_seconds=30))
    assert result.test_results[0].error.message == "the database took too long"  # type: ignore[union-attr]


def test_aevaluate_runs_on_the_callers_loop(storage: Storage) -> None:
    """The asynchronous door runs tasks on the loop it was awaited on."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def task(item: dict) -> dict:
            assert asyncio.get_running_loop() is loop
            return echo(item)

        result = await aevaluate(ITEMS, task, [Equals()], **quietly(storage))
        assert result.task_errors == 0

    asyncio.run(main())


def test_evaluate_works_inside_a_running_loop(storage: Storage) -> None:
    """A notebook's own loop does not stand in the way of the synchronous door."""

    async def main() -> int:
        return len(evaluate(ITEMS, echo, **quietly(storage)).test_results)

    assert asyncio.run(main()) == 20


def test_silence_at_verbose_zero(storage: Storage, capfd: pytest.CaptureFixture[str]) -> None:
    """verbose=0 prints nothing at all."""
    evaluate(ITEMS, echo, [Equals()], **quietly(storage))
    assert capfd.readouterr() == ("", "")


def test_project_name_reaches_every_trace_and_span(storage: Storage) -> None:
    """Traces and spans made inside the task lie in the run's project."""
    from opik_eval import track

    @track
    def inner(text: str) -> str:
        return text.upper()

    def task(item: dict) -> dict:
        return {"output": inner(item["question"])}

    evaluate(ITEMS[:3], task, **quietly(storage, project_name="shop"))
    spans = list(storage.list_spans())
    assert len(spans) == 3
    assert {span.project_name for span in spans} == {"shop"}
    assert {trace.project_name for trace in storage.list_traces()} == {"shop"}
    by_name = {span.name for span in spans}
    assert by_name == {"inner"}


def test_span_metric_sees_the_tree(storage: Storage) -> None:
    """A metric with a task_span argument receives the span tree of its item."""
    from opik_eval import track

    @track(type="tool")
    def lookup(text: str) -> str:
        return text

    class CountsTools(BaseMetric):
        def score(self, task_span: object, **ignored: object) -> int:
            return len(task_span.spans)  # type: ignore[attr-defined]

    def task(item: dict) -> dict:
        lookup("a")
        lookup("b")
        return {"output": "x"}

    result = evaluate(ITEMS[:2], task, [CountsTools()], **quietly(storage))
    assert [r.score_results[0].value for r in result.test_results] == [2.0, 2.0]
