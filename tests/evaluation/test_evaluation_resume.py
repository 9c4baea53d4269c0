"""Stopping and going on: nothing done is done again, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from opik_eval import (
    Budget,
    evaluate,
    evaluate_experiment,
    evaluate_prompt,
    evaluate_resume,
    get_model,
)
from opik_eval.datasets.dataset import from_items, get_dataset
from opik_eval.errors import (
    ConfigError,
    DatasetError,
    MissingArgumentError,
    NotFoundError,
    UnavailableError,
)
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.experiments.loading import load_result
from opik_eval.metrics import BaseMetric, Contains, Equals
from opik_eval.storage.base import Storage, Writable
from opik_eval.storage.opening import open_storage

ITEMS = [{"question": f"q{n}", "reference": f"q{n}"} for n in range(12)]


MOOD = {"bad": True}


class Task:
    """Echoes; fails for chosen questions; counts its calls."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self._failing = failing
        self._calls: list[str] = []

    def __getstate__(self) -> dict[str, object]:
        return {}  # neither calls nor failures make it another task

    def __setstate__(self, state: object) -> None:
        self.__init__()  # type: ignore[misc]

    def __call__(self, item: dict) -> dict:
        self._calls.append(item["question"])
        if item["question"] in self._failing:
            raise ValueError(item["question"])
        return {"output": item["question"]}


def _fails_for_q4(item: dict) -> dict:
    return Task(("q4",))(item)


def quietly(storage: Storage, **options: object) -> EvaluateOptions:
    return {"storage": storage, "verbose": 0, **options}  # type: ignore[typeddict-item]


def test_resume_runs_only_what_failed(storage: Storage) -> None:
    """Finished items are taken over; failed ones run again; trial ids and order stay."""
    first = Task(failing=("q2", "q5"))
    options = quietly(storage, trial_count=2)
    evaluate(ITEMS, first, [Equals()], experiment_name="run", **options)
    again = Task()
    result = evaluate(ITEMS, again, [Equals()], resume="run", **options)
    assert sorted(again._calls) == ["q2", "q2", "q5", "q5"]
    assert result.reused_items == 20
    assert result.task_errors == 0
    assert [r.trial_id for r in result.test_results] == [0, 1] * 12
    assert len(list(storage.list_experiment_items(result.experiment_id))) == 24


def test_resume_by_name_starts_anew_if_there_is_nothing(storage: Storage) -> None:
    """resume=True with a name nobody used yet is a fresh run, so one command fits both."""
    options = quietly(storage, experiment_name="nightly", resume=True)
    first, second = Task(), Task()
    one = evaluate(ITEMS, first, [Equals()], **options)
    two = evaluate(ITEMS, second, [Equals()], **options)
    assert one.experiment_id == two.experiment_id
    assert (len(first._calls), len(second._calls)) == (12, 0)


def test_changed_task_runs_again(storage: Storage) -> None:
    """Results of another task are not taken over."""
    evaluate(ITEMS, Task(), [Equals()], experiment_name="run", **quietly(storage))
    result = evaluate(
        ITEMS, lambda item: {"output": "new"}, [Equals()], resume="run", **quietly(storage)
    )
    assert result.reused_items == 0


def test_changed_metrics_are_scored_without_the_task(storage: Storage) -> None:
    """Where only metrics changed, stored outputs are scored again."""
    evaluate(ITEMS, Task(), [Equals()], experiment_name="run", **quietly(storage))
    task = Task()
    result = evaluate(ITEMS, task, [Equals(), Contains()], resume="run", **quietly(storage))
    assert task._calls == []
    names = {score.name for score in result.test_results[0].score_results}
    assert names == {"equals_metric", "contains_metric"}
    assert len(list(storage.list_traces())) == 12


def test_failed_scores_are_scored_again(storage: Storage) -> None:
    """A metric that failed runs again on resume; the task does not."""

    class Moody(BaseMetric):
        def score(self, output: str, **ignored: object) -> float:
            if MOOD["bad"] and output == "q3":
                raise RuntimeError("bad mood")
            return 1.0

    MOOD["bad"] = True
    evaluate(ITEMS, Task(), [Moody()], experiment_name="run", **quietly(storage))
    MOOD["bad"] = False
    task = Task()
    result = evaluate(ITEMS, task, [Moody()], resume="run", **quietly(storage))
    assert task._calls == []
    assert result.aggregate_evaluation_scores().aggregated_scores["Moody"].n == 12
    assert result.reused_items == 11


def test_evaluate_resume_restores_the_plan(storage: Storage) -> None:
    """evaluate_resume evaluates the same items and trials of the same version."""
    dataset = from_items(ITEMS, storage=storage, name="questions")
    first = Task(failing=("q1",))
    before = evaluate(
        dataset, first, [Equals()], experiment_name="run",
        **quietly(storage, nb_samples=4, trial_count=2),
    )  # fmt: skip
    dataset.insert([{"question": "new", "reference": "new"}])
    task = Task()
    result = evaluate_resume(before.experiment_id, task, [Equals()], **quietly(storage))
    assert task._calls == ["q1", "q1"]
    assert len(result.test_results) == 8


def test_evaluate_resume_of_the_unknown_is_an_error(storage: Storage) -> None:
    """There must be something to resume."""
    with pytest.raises(NotFoundError, match="nothing-like-it"):
        evaluate_resume("nothing-like-it", Task(), **quietly(storage))
    with pytest.raises(NotFoundError, match="to resume"):
        evaluate(ITEMS, Task(), **quietly(storage, resume="nothing-like-it"))


def test_resume_with_another_dataset_is_refused(storage: Storage) -> None:
    """An experiment goes on with the dataset it was started on."""
    evaluate(ITEMS, Task(), experiment_name="run", **quietly(storage))
    with pytest.raises(DatasetError, match="resume with the dataset"):
        evaluate([{"question": "other"}], Task(), resume="run", **quietly(storage))


def test_resume_of_an_experiment_whose_dataset_is_gone(storage: Storage) -> None:
    """A deleted dataset is named, with what to do."""
    dataset = from_items(ITEMS, storage=storage, name="questions")
    result = evaluate(dataset, Task(), experiment_name="run", **quietly(storage))
    storage.delete_dataset(dataset.id)
    with pytest.raises(DatasetError, match="is gone"):
        evaluate_resume(result.experiment_id, Task(), **quietly(storage))


def test_evaluate_experiment_adds_scores(storage: Storage) -> None:
    """Stored outputs get new scores beside the old ones; no task runs; the run stays complete."""
    before = evaluate(ITEMS, Task(), [Equals()], experiment_name="run", **quietly(storage))
    result = evaluate_experiment("run", [Contains()], scoring_threads=2, **quietly(storage))
    assert result.experiment_id == before.experiment_id
    assert {s.name for s in result.test_results[0].score_results} == {"contains_metric"}
    loaded = load_result(storage, "run")
    assert {s.name for s in loaded.test_results[0].score_results} == {
        "contains_metric",
        "equals_metric",
    }
    task = Task()
    resumed = evaluate(ITEMS, task, [Equals()], resume="run", **quietly(storage))
    assert (task._calls, resumed.reused_items) == ([], 12)


def test_evaluate_experiment_uses_the_pinned_version(storage: Storage) -> None:
    """Items are scored as they were when the experiment ran."""
    dataset = from_items([{"question": "a", "reference": "a"}], storage=storage, name="d")
    evaluate(dataset, Task(), [Equals()], experiment_name="run", **quietly(storage))
    row = dataset.get_items()[0]
    dataset.update([{**row, "reference": "changed"}])
    result = evaluate_experiment("run", [Equals()], **quietly(storage))
    assert result.test_results[0].score_results[0].value == 1.0


def test_evaluate_experiment_needs_outputs_and_arguments(storage: Storage) -> None:
    """Without metrics, outputs or arguments there is a clear error and nothing runs."""
    evaluate(ITEMS[:1], Task(("q0",)), experiment_name="failed", **quietly(storage))
    with pytest.raises(NotFoundError, match="no outputs"):
        evaluate_experiment("failed", [Equals()], **quietly(storage))
    with pytest.raises(ConfigError, match="scoring_metrics is empty"):
        evaluate_experiment("failed", [], **quietly(storage))
    evaluate([{"question": "a"}], Task(), experiment_name="ok", **quietly(storage))
    with pytest.raises(MissingArgumentError, match="reference"):
        evaluate_experiment("ok", [Equals()], **quietly(storage))
    with pytest.raises(TypeError, match="nb_samples"):
        evaluate_experiment("ok", [Equals()], nb_samples=3, **quietly(storage))  # type: ignore[call-arg]


def test_budget_stops_the_run_and_resume_finishes_it(storage: Storage) -> None:
    """A spent budget ends the run with what is done; no call passes the limit; resume goes on."""
    model = get_model("fake/echo")

    async def task(item: dict) -> dict:
        reply = await model.generate(item["question"])
        return {"output": reply.text}

    budget = Budget(max_requests=5)
    first = evaluate(
        ITEMS, task, [Equals()], experiment_name="run", **quietly(storage, budget=budget)
    )
    assert first.status == "stopped"
    assert "budget" in (first.stop_reason or "")
    assert len(first.test_results) == 5
    assert first.task_errors == 0
    second = evaluate(ITEMS, task, [Equals()], resume="run", **quietly(storage))
    assert (second.status, second.reused_items, len(second.test_results)) == ("completed", 5, 12)


def test_budget_spent_by_a_judge_keeps_the_output(storage: Storage) -> None:
    """Where a judge finds the budget spent, the task's output is kept and only scored on resume."""

    class Judge(BaseMetric):
        async def ascore(self, output: str, **ignored: object) -> float:
            await get_model("fake/echo").generate(output)
            return 1.0

    task = Task()
    budget = Budget(max_requests=3)
    options = quietly(storage, task_threads=1)
    first = evaluate(ITEMS[:6], task, [Judge()], experiment_name="run", budget=budget, **options)
    assert first.status == "stopped"
    assert first.aggregate_evaluation_scores().aggregated_scores["Judge"].n == 3
    done = len(task._calls)
    evaluate(ITEMS[:6], task, [Judge()], resume="run", **options)
    assert sorted(task._calls) == sorted(f"q{n}" for n in range(6))
    assert done <= 6


def test_cache_replays_prompts(storage: Storage) -> None:
    """With a cache the second run of a prompt costs no call, and replay fails on what is new."""
    items = [{"question": f"q{n}"} for n in range(4)]
    options = quietly(storage, cache="read_write", trial_count=2)
    first = evaluate_prompt(items, "Say {{question}}", "fake/echo", **options)
    budget = Budget(max_requests=1)
    second = evaluate_prompt(
        items, "Say {{question}}", "fake/echo", budget=budget,
        **{**options, "cache": "replay"},
    )  # fmt: skip
    outputs = [r.test_case.task_output for r in second.test_results]
    assert outputs == [r.test_case.task_output for r in first.test_results]
    new = evaluate_prompt(
        items, "Other {{question}}", "fake/echo", **{**options, "cache": "replay"}
    )
    assert new.task_errors == 8


def test_cached_trials_of_a_task_sample_anew(storage: Storage) -> None:
    """A model called inside a task is asked once for each trial; a re-run asks nothing."""
    model = get_model("fake/echo")

    async def task(item: dict) -> dict:
        return {"output": (await model.generate(item["question"])).text}

    options = quietly(storage, cache="read_write", trial_count=3)
    budget = Budget(max_requests=100)
    evaluate(ITEMS[:2], task, budget=budget, **options)
    assert budget.report().requests == 6
    again = Budget(max_requests=100)
    evaluate(ITEMS[:2], task, budget=again, **options)
    assert again.report().requests == 0


def test_prompt_placeholders_are_checked_before_the_run(storage: Storage) -> None:
    """A placeholder that no field fills is found before anything is stored or sent."""
    from opik_eval.errors import PromptError

    with pytest.raises(PromptError, match="quesiton"):
        evaluate_prompt(ITEMS, "Say {{quesiton}}", "fake/echo", **quietly(storage))
    assert list(storage.list_experiments()) == []


def test_prompt_records_template_model_and_usage(storage: Storage) -> None:
    """The experiment remembers the prompt and model, without touching the caller's dict."""
    config: dict[str, object] = {"owner": "team"}
    messages = [{"role": "user", "content": "Say {{question}}"}]
    result = evaluate_prompt(
        ITEMS[:2],
        messages,
        "fake/echo",
        [Contains(reference="q")],
        model_parameters={"temperature": 0},
        experiment_config=config,
        **quietly(storage),
    )
    experiment = storage.find_experiment(result.experiment_id)
    assert experiment is not None
    assert experiment.config == {
        "owner": "team",
        "prompt_template": messages,
        "model": "fake/echo",
        "model_parameters": {"temperature": 0},
    }
    assert config == {"owner": "team"}
    assert result.test_results[0].usage is not None
    assert result.test_results[0].usage["total_tokens"] > 0


class _FailingStorage:
    """A store that fails after some writes."""

    def __init__(self, inner: Storage, writes: int) -> None:
        self._inner = inner
        self._left = writes

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def write(self, records: Iterable[Writable]) -> None:
        self._left -= 1
        if self._left < 0:
            raise UnavailableError("disk full", remedy="make room")
        self._inner.write(records)


def test_failing_store_loses_nothing(storage: Storage) -> None:
    """When the store fails, the run stops and the error holds everything that was computed."""
    from_items(ITEMS, storage=storage, name="d")
    failing = _FailingStorage(storage, writes=1)
    with pytest.raises(UnavailableError, match="disk full") as caught:
        evaluate(
            get_dataset(storage, "d"), Task(), [Equals()],
            storage=failing, verbose=0, task_threads=1,  # type: ignore[arg-type]
        )  # fmt: skip
    partial = caught.value.partial_result  # type: ignore[attr-defined]
    assert partial.status == "failed"
    assert len(partial.test_results) >= 1


def test_interrupt_stops_at_once_and_keeps_what_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C ends the run without running what is queued, and says how to go on."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    never = threading.Event()
    calls: list[str] = []

    def task(item: dict) -> dict:
        calls.append(item["question"])
        if item["question"] == "q3":
            os.kill(os.getpid(), signal.SIGINT)
        if item["question"] >= "q3":
            never.wait(60)
        return {"output": item["question"]}

    options = quietly(storage, task_threads=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(ITEMS[:9], task, [Equals()], experiment_name="run", **options)
    assert calls == ["q0", "q1", "q2", "q3"]
    assert "3 of 9 results" in caplog.text
    assert "resume=" in caplog.text
    (experiment,) = storage.list_experiments(name="run")
    assert experiment.status == "stopped"
    never.set()
    again = Task()
    evaluate_resume("run", again, [Equals()], **quietly(storage))
    storage.close()


def test_interrupted_coroutines_are_cancelled(tmp_path: Path) -> None:
    """Ctrl-C cancels running coroutines, so that they can clean up."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    cancelled: list[str] = []

    async def task(item: dict) -> dict:
        try:
            if item["question"] == "q1":
                os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item["question"])
            raise
        return {}

    with pytest.raises(KeyboardInterrupt):
        evaluate(ITEMS, task, **quietly(storage, task_threads=2))
    assert sorted(cancelled) == ["q0", "q1"]
    storage.close()


def test_processes_give_the_same_result(tmp_path: Path) -> None:
    """executor='loky' gives what threads give; the coordinator alone writes."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    plain = evaluate(ITEMS, _fails_for_q4, [Equals()], **quietly(storage))
    spread = evaluate(
        ITEMS, _fails_for_q4, [Equals()], **quietly(storage, executor="loky", task_threads=2)
    )
    outputs = [r.test_case.task_output for r in plain.test_results]
    assert [r.test_case.task_output for r in spread.test_results] == outputs
    assert spread.task_errors == 1
    assert len(list(storage.list_experiment_items(spread.experiment_id))) == 12
    assert len(list(storage.list_traces())) == 24
    storage.close()


@pytest.mark.parametrize("option", [{"budget": Budget(max_requests=1)}, {"cache": "read_write"}])
def test_processes_refuse_what_they_cannot_keep(storage: Storage, option: dict) -> None:
    """A budget or cache that would not hold across processes is refused."""
    with pytest.raises(ConfigError, match="other processes"):
        evaluate(ITEMS, Task(), **quietly(storage, executor="loky", **option))


def test_missing_backend_names_its_package(storage: Storage) -> None:
    """An executor whose package is not installed says what to install."""
    with pytest.raises(ConfigError, match="ray") as caught:
        evaluate(ITEMS, Task(), **quietly(storage, executor="ray"))
    assert "pip install" in str(caught.value)


def test_experiment_scores_are_computed_and_stored(storage: Storage) -> None:
    """Functions of all results give scores of the experiment; one that raises is a failed score."""

    def share(results: list) -> float:
        return sum(bool(r.score_results[0].value) for r in results) / len(results)

    def broken(results: list) -> float:
        raise ZeroDivisionError("nothing to divide")

    result = evaluate(
        ITEMS, Task(), [Equals()],
        **quietly(storage, experiment_scoring_functions=[share, broken]),
    )  # fmt: skip
    by_name = {score.name: score for score in result.experiment_scores}
    assert by_name["share"].value == 1.0
    assert by_name["broken"].scoring_failed
    assert any("nothing to divide" in warning for warning in result.warnings)
    stored = storage.find_experiment(result.experiment_id)
    assert stored is not None
    assert stored.experiment_scores == {"share": 1.0}
