"""However a run ends, its experiment says so; what is wrong is found before money is spent."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from opik_eval import (
    Budget,
    aevaluate,
    evaluate,
    evaluate_experiment,
    evaluate_resume,
    get_model,
)
from opik_eval.datasets.dataset import from_items
from opik_eval.errors import (
    ConfigError,
    MissingArgumentError,
    NotFoundError,
    OpikEvalError,
    SchemaVersionError,
    StorageError,
    UnavailableError,
)
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.experiments.loading import load_result
from opik_eval.ids import new_id
from opik_eval.metrics import BaseMetric, Contains, Equals
from opik_eval.records import Experiment, ExperimentItem
from opik_eval.storage.base import Storage, Writable
from opik_eval.storage.opening import open_storage

ITEMS = [{"question": f"q{n}", "reference": f"q{n}"} for n in range(8)]


def echo(item: dict) -> dict:
    return {"output": item["question"]}


def quietly(storage: Storage, **options: object) -> EvaluateOptions:
    return {"storage": storage, "verbose": 0, **options}  # type: ignore[typeddict-item]


def the_experiment(storage: Storage) -> Experiment:
    (experiment,) = storage.list_experiments()
    return experiment


def test_a_completed_run_says_so(storage: Storage) -> None:
    """Status, time and directions are stored; errors of single items do not change that."""

    class Distance(BaseMetric):
        higher_is_better = False

        def score(self, output: str, **ignored: object) -> float:
            return 0.0

    def task(item: dict) -> dict:
        if item["question"] == "q1":
            raise ValueError("wrong")
        return echo(item)

    result = evaluate(ITEMS, task, [Distance()], **quietly(storage))
    experiment = the_experiment(storage)
    assert (result.status, experiment.status) == ("completed", "completed")
    run = experiment.run or {}
    assert run["higher_is_better"] == {"Distance": False}
    assert run["stop_reason"] is None
    assert float(str(run["total_seconds"])) > 0
    assert "1 of 8 tasks failed (ValueError)" in str(run["warnings"])


def _fails(item: dict) -> dict:
    raise ValueError("always")


async def _spends(item: dict) -> dict:
    reply = await get_model("fake/echo").generate(item["question"])
    return {"output": reply.text}


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        (_fails, {"max_errors": 0}, "max_errors"),
        (_spends, {"budget": Budget(max_requests=2)}, "budget"),
    ],
)
def test_a_stopped_run_says_why(
    storage: Storage, task: Callable[..., object], options: dict, reason: str
) -> None:
    """A limit that ends the run leaves it stopped, with the reason."""
    result = evaluate(ITEMS, task, **quietly(storage, **options))
    assert result.status == the_experiment(storage).status == "stopped"
    loaded = load_result(storage, result.experiment_id)
    assert loaded.stop_reason == result.stop_reason
    assert reason in str(loaded.stop_reason)


def test_a_run_that_lacks_an_argument_is_failed(storage: Storage) -> None:
    """An error that ends the run from inside leaves the experiment failed, not running."""

    def task(item: dict) -> dict:
        return dict(output=item["question"])

    with pytest.raises(MissingArgumentError):
        evaluate([{"question": "q"}], task, [Equals()], **quietly(storage))
    assert the_experiment(storage).status == "failed"


class Broken:
    """A store some of whose methods fail."""

    def __init__(self, inner: Storage, **broken: Callable[..., Any]) -> None:
        self._inner = inner
        self._broken = broken

    def __getattr__(self, name: str) -> object:
        return self._broken.get(name) or getattr(self._inner, name)


def _unavailable(*args: object, **kwargs: object) -> Any:
    raise UnavailableError("the disk is gone", remedy="bring it back")


@pytest.mark.parametrize("method", ["delete_experiment_items", "list_dataset_items"])
def test_an_error_while_planning_leaves_no_running_experiment(
    storage: Storage, method: str
) -> None:
    """What breaks between the experiment's record and the first task marks it as failed."""
    dataset = from_items(ITEMS, storage=storage, name="d")
    evaluate(dataset, _fails, **quietly(storage, experiment_name="run"))
    calls = [0]

    def later(*args: object, **kwargs: object) -> Any:
        calls[0] += 1
        if method == "list_dataset_items" and calls[0] < 2:  # the first look at the items works
            return storage.list_dataset_items(*args, **kwargs)  # type: ignore[arg-type]
        return _unavailable()

    broken = Broken(storage, **{method: later})
    dataset.storage = broken  # type: ignore[assignment]
    with pytest.raises(UnavailableError, match="disk is gone"):
        evaluate(dataset, _fails, resume="run", storage=broken, verbose=0)  # type: ignore[arg-type]
    assert the_experiment(storage).status == "failed"


@pytest.mark.parametrize(
    "problem",
    [
        {"metrics": [Equals]},
        {"task": "no task"},
        {"options": {"scoring_key_mapping": {"reference": "nowhere"}}},
        {"options": {"resume": "nothing"}},
        {"options": {"dataset_item_ids": ["nowhere"]}},
    ],
)
def test_an_error_while_preparing_makes_no_experiment(storage: Storage, problem: dict) -> None:
    """Whatever is wrong with the arguments is found before the experiment is made."""
    with pytest.raises(OpikEvalError):
        evaluate(
            ITEMS,
            problem.get("task", echo),
            problem.get("metrics", [Equals()]),
            **quietly(storage, **problem.get("options", {})),
        )
    assert list(storage.list_experiments()) == []


def test_a_task_whose_state_breaks_still_has_a_key(storage: Storage) -> None:
    """Odd objects around a task, such as one that refuses pickling, do not keep it from running."""

    class Odd:
        def __getstate__(self) -> object:
            raise RuntimeError("no state")

        def __call__(self, item: dict) -> dict:
            return echo(item)

    assert evaluate(ITEMS, Odd(), **quietly(storage)).status == "completed"


def test_keyboard_interrupt_of_a_task_ends_the_run_as_ctrl_c_does(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """The experiment is stopped, what is done is kept, and the log says how to go on."""

    def task(item: dict) -> dict:
        if item["question"] == "q3":
            raise KeyboardInterrupt
        return echo(item)

    options = quietly(storage, experiment_name="run", task_threads=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(ITEMS, task, [Equals()], **options)
    experiment = the_experiment(storage)
    assert experiment.status == "stopped"
    assert "3 of 8 results" in caplog.text
    assert f"resume={experiment.id!r}" in caplog.text
    assert evaluate(ITEMS, echo, [Equals()], **quietly(storage)).status == "completed"


def test_keyboard_interrupt_through_the_asynchronous_door(storage: Storage) -> None:
    """A coroutine that raises KeyboardInterrupt ends aevaluate with it, and marks the run."""

    async def task(item: dict) -> dict:
        raise KeyboardInterrupt

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await aevaluate(ITEMS, task, **quietly(storage))
        assert the_experiment(storage).status == "stopped"

    asyncio.run(main())


def test_cancelling_the_asynchronous_door_stops_the_run(storage: Storage) -> None:
    """A cancelled aevaluate leaves a stopped experiment that can be resumed."""

    async def main() -> None:
        started = asyncio.Event()

        async def task(item: dict) -> dict:
            if item["question"] == "q2":
                started.set()
                await asyncio.Event().wait()
            return echo(item)

        options = quietly(storage, experiment_name="run", task_threads=1)
        running = asyncio.create_task(aevaluate(ITEMS, task, [Equals()], **options))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert the_experiment(storage).status == "stopped"
    assert len(load_result(storage, "run").test_results) == 2


def test_an_interrupt_is_not_hidden_by_a_store_that_fails(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """If even the count of what is stored fails, Ctrl-C is still Ctrl-C."""

    def task(item: dict) -> dict:
        raise KeyboardInterrupt

    broken = Broken(storage, list_experiment_items=_unavailable)
    with pytest.raises(KeyboardInterrupt):
        evaluate(ITEMS, task, storage=broken, verbose=0)  # type: ignore[arg-type]
    assert "cannot be counted" in caplog.text


def test_an_interrupted_rescoring_says_nothing_of_resuming(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """Scoring stored outputs again leaves the run's own status as it was, however it ends."""

    class Interrupts(BaseMetric):
        def score(self, **ignored: object) -> float:
            raise KeyboardInterrupt

    evaluate(ITEMS, echo, **quietly(storage, experiment_name="run"))
    with pytest.raises(KeyboardInterrupt):
        evaluate_experiment("run", [Interrupts()], **quietly(storage))  # type: ignore[arg-type]
    assert the_experiment(storage).status == "completed"
    assert "resume" not in caplog.text


def test_a_run_that_crashed_is_resumed_though_marked_running(storage: Storage) -> None:
    """A crash leaves the experiment running; resume takes what is stored and completes it."""
    first = evaluate(ITEMS, echo, [Equals()], **quietly(storage, experiment_name="run"))
    storage.write([Experiment(id=first.experiment_id, status="running")])
    items = list(storage.list_experiment_items(first.experiment_id))
    storage.delete_experiment_items([item.id for item in items[5:]])
    result = evaluate_resume("run", echo, [Equals()], **quietly(storage))
    assert (result.status, result.reused_items, len(result.test_results)) == ("completed", 5, 8)
    assert the_experiment(storage).status == "completed"


def test_a_resumed_run_is_running_again_and_its_old_reason_is_gone(storage: Storage) -> None:
    """While it runs again an experiment says so; once complete it has no reason to have stopped."""
    seen: list[str | None] = []
    evaluate(ITEMS, _fails, **quietly(storage, experiment_name="run", max_errors=0))
    assert the_experiment(storage).status == "stopped"

    def task(item: dict) -> dict:
        seen.append(the_experiment(storage).status)
        return echo(item)

    evaluate(ITEMS, task, **quietly(storage, resume="run"))
    assert set(seen) == {"running"}
    loaded = load_result(storage, "run")
    assert (loaded.status, loaded.stop_reason, loaded.task_errors) == ("completed", None, 0)


def test_resuming_keeps_what_the_experiment_was(storage: Storage) -> None:
    """Type, optimization, project, tags and config stay; the plan of the new call is written."""
    first = evaluate(
        ITEMS,
        _fails,
        **quietly(
            storage,
            experiment_name="run",
            experiment_type="trial",
            optimization_id="opt",
            project_name="shop",
            experiment_tags=["a"],
            experiment_config={"x": 1},
            nb_samples=3,
            seed=5,
        ),
    )
    before = the_experiment(storage)
    result = evaluate_resume(first.experiment_id, echo, **quietly(storage))
    after = the_experiment(storage)
    for name in ("name", "type", "optimization_id", "project_name", "tags", "config", "created_at"):
        assert getattr(after, name) == getattr(before, name), name
    assert (after.run or {})["seed"] == 5
    assert len(result.test_results) == 3
    assert {t.project_name for t in storage.list_traces()} == {"shop"}
    more = evaluate(ITEMS, echo, **quietly(storage, resume="run", trial_count=2))
    assert (len(more.test_results), more.reused_items) == (16, 3)
    assert (the_experiment(storage).run or {})["trial_count"] == 2


def test_resuming_after_the_dataset_grew_evaluates_what_is_new(storage: Storage) -> None:
    """A resumed evaluate takes the dataset as it is now; the result can be loaded whole."""
    dataset = from_items(ITEMS, storage=storage, name="d")
    evaluate(dataset, echo, **quietly(storage, experiment_name="run"))
    dataset.insert([{"question": "q8", "reference": "q8"}])
    result = evaluate(dataset, echo, **quietly(storage, resume="run"))
    assert (len(result.test_results), result.reused_items) == (9, 8)
    loaded = load_result(storage, "run")
    assert [r.test_case.dataset_item_content["question"] for r in loaded.test_results] == [
        f"q{n}" for n in range(9)
    ]


def test_items_of_equal_content_are_resumed_apart(storage: Storage) -> None:
    """Two items that say the same keep their own results through a resume."""
    twins = [{"question": "q", "copy": False}, {"question": "q", "copy": False}]
    evaluate(twins, echo, **quietly(storage, experiment_name="run"))
    experiment = the_experiment(storage)
    first = next(iter(storage.list_experiment_items(experiment.id)))
    storage.delete_experiment_items([first.id])
    calls: list[str] = []

    def counted(item: dict) -> dict:
        calls.append(item["id"])
        return echo(item)

    result = evaluate_resume("run", counted, **quietly(storage))
    ids = [r.test_case.dataset_item_id for r in result.test_results]
    assert len(set(ids)) == 2


def test_failures_outside_of_the_selection_are_kept(storage: Storage) -> None:
    """A resumed run that evaluates fewer items drops the errors of those alone."""
    evaluate(ITEMS, _fails, **quietly(storage, experiment_name="run"))
    evaluate(ITEMS, _fails, **quietly(storage, resume="run", nb_samples=3))
    items = list(storage.list_experiment_items(the_experiment(storage).id))
    assert len(items) == 8


def test_results_of_other_programs_are_left_alone(storage: Storage) -> None:
    """Items that another program put into the experiment survive a resume."""
    first = evaluate(ITEMS, echo, **quietly(storage, experiment_name="run"))
    foreign = ExperimentItem(
        id=new_id(), experiment_id=first.experiment_id, dataset_item_id="elsewhere", trace_id="t"
    )
    storage.write([foreign])
    evaluate(ITEMS, echo, **quietly(storage, resume="run"))
    ids = {item.id for item in storage.list_experiment_items(first.experiment_id)}
    assert foreign.id in ids
    assert len(ids) == 9


PREFIX = "a"


def uses_prefix(item: dict) -> dict:
    return {"output": PREFIX + item["question"]}


def test_a_resumed_run_names_what_changed_around_the_task(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constant of the module does not make another task, but its change is not hidden."""
    first = evaluate(ITEMS, uses_prefix, **quietly(storage, experiment_name="run"))
    assert first.warnings == []
    same = evaluate(ITEMS, uses_prefix, **quietly(storage, resume="run"))
    assert same.warnings == []
    monkeypatch.setitem(globals(), "PREFIX", "b")
    result = evaluate(ITEMS, uses_prefix, **quietly(storage, resume="run"))
    assert result.reused_items == 8
    assert "the task reads PREFIX, which changed" in result.warnings[0]


def test_rescoring_leaves_the_run_as_it_was(storage: Storage) -> None:
    """New scores do not turn a stopped run into a completed one, nor change its time."""

    def task(item: dict) -> dict:
        if item["question"] > "q4":
            raise ValueError
        return echo(item)

    def count(results: list) -> float:
        return float(len(results))

    def double(results: list) -> float:
        return 2.0 * len(results)

    options = quietly(storage, max_errors=0, task_threads=1, experiment_scoring_functions=[count])
    evaluate(ITEMS, task, [Equals()], experiment_name="run", **options)
    before = the_experiment(storage)
    again = quietly(storage, experiment_scoring_functions=[double])
    evaluate_experiment("run", [Contains()], **again)  # type: ignore[arg-type]
    after = the_experiment(storage)
    assert after.status == "stopped"
    assert after.experiment_scores == {"count": 6.0, "double": 10.0}
    run, old = after.run or {}, before.run or {}
    assert (run["total_seconds"], run["stop_reason"]) == (old["total_seconds"], old["stop_reason"])
    assert run["higher_is_better"] == {"equals_metric": True, "contains_metric": True}


def test_rescoring_after_items_were_deleted(storage: Storage) -> None:
    """Items of the version that was evaluated are scored, whatever became of the dataset since."""
    dataset = from_items(ITEMS, storage=storage, name="d")
    evaluate(dataset, echo, **quietly(storage, experiment_name="run", trial_count=2))
    dataset.delete([str(row["id"]) for row in dataset.get_items()[:3]])
    result = evaluate_experiment("run", [Equals()], **quietly(storage))  # type: ignore[arg-type]
    assert (len(result.test_results), result.trial_count) == (16, 2)
    assert result.warnings == []


def test_rescoring_says_which_items_are_gone(storage: Storage) -> None:
    """Results whose item no version has are left out with a warning."""
    evaluate(ITEMS, echo, **quietly(storage, experiment_name="run"))
    experiment = the_experiment(storage)
    lost = ExperimentItem(
        id=new_id(),
        experiment_id=experiment.id,
        dataset_item_id="gone",
        output={"output": "x"},
        resume_key="k:m",
    )
    storage.write([lost])
    result = evaluate_experiment("run", [Equals()], **quietly(storage))  # type: ignore[arg-type]
    assert len(result.test_results) == 8
    assert result.warnings == ["1 items are no longer in the dataset and were left out"]


def test_rescoring_by_id_and_with_errors_tolerated(storage: Storage) -> None:
    """An id goes before the name; a missing argument may be a failed score."""
    for _ in range(2):
        evaluate([{"question": "a"}], echo, **quietly(storage, experiment_name="twice"))
    with pytest.raises(ConfigError, match="2 experiments"):
        evaluate_experiment("twice", [Equals()], **quietly(storage))  # type: ignore[arg-type]
    one = next(storage.list_experiments(name="twice"))
    result = evaluate_experiment(
        "twice",
        [Equals()],
        experiment_id=one.id,
        **quietly(storage, error_tolerance=20),  # type: ignore[arg-type]
    )
    assert result.test_results[0].score_results[0].scoring_failed
    with pytest.raises(NotFoundError):
        evaluate_experiment("nowhere", [Equals()], **quietly(storage))  # type: ignore[arg-type]


def test_rescoring_refuses_metrics_that_need_the_span_tree(storage: Storage) -> None:
    """A stored output has no span tree; the score says so instead of being made up."""

    class Spans(BaseMetric):
        def score(self, task_span: object, **ignored: object) -> float:
            return 1.0

    evaluate(ITEMS[:1], echo, **quietly(storage, experiment_name="run"))
    result = evaluate_experiment("run", [Spans()], **quietly(storage))  # type: ignore[arg-type]
    assert "there is no task_span" in (result.test_results[0].score_results[0].reason or "")


class RefusesOne(Broken):
    """A store that cannot hold what is said about the question ``q3``."""

    def write(self, records: Iterable[Writable]) -> None:
        kept = list(records)
        if any(getattr(record, "output", None) == {"output": "q3"} for record in kept):
            raise TypeError("q3 cannot be written")
        self._inner.write(kept)


def test_results_that_cannot_be_stored_are_reported(storage: Storage) -> None:
    """A result that no store can hold is there all the same, with a warning and in the flush."""
    result = evaluate(ITEMS, echo, [Equals()], storage=RefusesOne(storage), verbose=0)  # type: ignore[arg-type]
    assert len(result.test_results) == 8
    assert len(list(storage.list_experiment_items(result.experiment_id))) == 7
    assert result.warnings == ["1 results are not stored: TypeError: q3 cannot be written"]
    assert result.flush is not None
    assert result.flush.rejected == ("TypeError: q3 cannot be written",)
    again = evaluate_resume(result.experiment_id, echo, [Equals()], **quietly(storage))
    assert (again.reused_items, again.warnings) == (7, [])


class FailsToMark(Broken):
    """A store that takes results, but not the news that the run is over."""

    def write(self, records: Iterable[Writable]) -> None:
        kept = list(records)
        if any(isinstance(r, Experiment) and r.status != "running" for r in kept):
            _unavailable()
        self._inner.write(kept)


def test_a_status_that_could_not_be_stored_is_a_warning(storage: Storage) -> None:
    """If the end of the run cannot be recorded, the result says so."""
    result = evaluate(ITEMS, echo, storage=FailsToMark(storage), verbose=0)  # type: ignore[arg-type]
    assert result.status == "completed"
    assert "could not be marked as completed" in result.warnings[-1]
    assert the_experiment(storage).status == "running"


def test_a_corrupt_store_is_found_before_the_first_task(tmp_path: Path) -> None:
    """A file that is no database, or damaged, is named with what to do; no task runs."""
    path = tmp_path / "runs.db"
    path.write_bytes(b"this is no database at all, but long enough to be looked at" * 100)
    calls: list[dict] = []
    with pytest.raises(StorageError, match="is not a database") as caught:
        evaluate(ITEMS, lambda item: calls.append(item) or {}, storage=f"file:{path}", verbose=0)
    assert caught.value.remedy
    assert calls == []
    assert path.read_bytes().startswith(b"this is no database")


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Data of a newer version is left alone, before anything runs."""
    path = tmp_path / "runs.db"
    open_storage(f"file:{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    with pytest.raises(SchemaVersionError) as caught:
        evaluate(ITEMS, echo, storage=f"file:{path}", verbose=0)
    assert caught.value.remedy


def test_a_folder_that_cannot_be_written_is_found_before_the_first_task(tmp_path: Path) -> None:
    """A store that cannot be made is an error that names the path."""
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StorageError) as caught:
        evaluate(ITEMS, echo, storage=f"file:{tmp_path / 'taken' / 'runs.db'}", verbose=0)
    assert "taken" in str(caught.value)
    assert caught.value.remedy


def test_a_read_only_store_is_found_before_the_first_task(storage: Storage) -> None:
    """A store that takes no writes is an error before any task runs."""
    calls: list[dict] = []
    dataset = from_items(ITEMS, storage=storage)
    broken = Broken(storage, write=_unavailable)
    with pytest.raises(UnavailableError, match="disk is gone"):
        evaluate(dataset, lambda item: calls.append(item) or {}, storage=broken, verbose=0)  # type: ignore[arg-type]
    assert calls == []


def test_a_store_that_fails_in_the_middle_keeps_what_was_computed(tmp_path: Path) -> None:
    """When writing fails after the first task, the error carries every result."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    writes = [0]

    def write(records: Iterable[Writable]) -> None:
        writes[0] += 1
        if writes[0] > 1:
            raise UnavailableError("read-only", remedy="make it writable")
        storage.write(records)

    from_items(ITEMS, storage=storage, name="d")
    broken = Broken(storage, write=write)
    with pytest.raises(UnavailableError, match="read-only") as caught:
        evaluate("d", echo, [Equals()], storage=broken, verbose=0)  # type: ignore[arg-type]
    partial = caught.value.partial_result  # type: ignore[attr-defined]
    assert (partial.status, partial.stop_reason) == ("failed", "the store failed")
    assert "are not stored: read-only" in partial.warnings[0]
    assert len(partial.test_results) >= 1
    storage.close()


def test_late_spans_are_stored_after_the_store_was_closed(tmp_path: Path) -> None:
    """A span that ends after the run, whose store was opened for the run alone, is not lost."""
    from opik_eval import track

    target = f"file:{tmp_path / 'runs.db'}"
    release = threading.Event()
    threads: list[threading.Thread] = []

    def task(item: dict) -> dict:
        import contextvars

        @track(name="late")
        def late() -> str:
            release.wait(20)
            return "done"

        thread = threading.Thread(target=contextvars.copy_context().run, args=(late,))
        thread.start()
        threads.append(thread)
        return echo(item)

    evaluate(ITEMS[:1], task, storage=target, verbose=0)
    release.set()
    threads[0].join(20)
    deadline = time.monotonic() + 20
    names: set[str | None] = set()
    while "late" not in names and time.monotonic() < deadline:
        storage = open_storage(target)
        names = {span.name for span in storage.list_spans()}
        storage.close()
    assert "late" in names


def test_ctrl_c_twice_does_not_hang(tmp_path: Path) -> None:
    """A second Ctrl-C during the winding up ends the waiting."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    started = threading.Event()

    async def task(item: dict) -> dict:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
            raise
        return {}

    def interrupt() -> None:
        started.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        evaluate(ITEMS[:1], task, storage=storage, verbose=0)
    storage.close()
