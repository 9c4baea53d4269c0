"""One run of the engine: counting errors, stopping, listeners, what is left unsaved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
from engine_fakes import ListSink, runner, units

from opik_eval.engine.failures import lost
from opik_eval.engine.run import Run, RunOutcome, RunSpec
from opik_eval.engine.units import WorkUnit
from opik_eval.errors import MissingArgumentError, UnavailableError
from opik_eval.experiments.result import TestResult
from opik_eval.metrics import Equals
from opik_eval.records import ExperimentItem, one_by_one
from opik_eval.storage.base import Storage, Writable


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self, storage: Storage) -> None:
        self.results: list[TestResult] = []
        self.stored_before = True
        self._storage = storage

    def finished(self, results: Sequence[TestResult]) -> None:
        known = {i.dataset_item_id for i in self._storage.list_experiment_items("experiment")}
        heard = {result.test_case.dataset_item_id for result in results}
        self.stored_before = self.stored_before and heard <= known
        self.results += results


class Breaks:
    """A listener that cannot go on."""

    def __init__(self) -> None:
        self.calls = 0

    def finished(self, results: Sequence[TestResult]) -> None:
        self.calls += 1
        raise BrokenPipeError("the terminal is gone")


def execute(
    task: Callable[..., object], storage: Storage, work: Iterable[WorkUnit], **fields: Any
) -> RunOutcome:
    metrics = fields.pop("metrics", ())
    spec: dict[str, Any] = {
        "runner": runner(task, metrics),
        "storage": storage,
        "units": work,
        "total": None,
        "workers": 1,
        "late": ListSink(),
        **fields,
    }

    async def main() -> RunOutcome:
        return await Run(RunSpec(**spec)).execute()

    return asyncio.run(main())


def echo(item: dict[str, Any]) -> dict[str, object]:
    return {"output": item["n"]}


def test_results_come_in_order_and_are_stored_before_they_are_reported(storage: Storage) -> None:
    """Listeners hear of a result only once it is in the store."""
    heard = Heard(storage)
    outcome = execute(echo, storage, units(50), workers=4, listeners=(heard,))
    assert [r.test_case.task_output for r in outcome.results] == [{"output": n} for n in range(50)]
    assert (outcome.stop_reason, outcome.unsaved, outcome.error) == ("completed", 0, None)
    assert len(heard.results) == 50
    assert heard.stored_before


def test_a_listener_that_breaks_is_left_out(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """The run outlives a progress display whose terminal has gone away."""
    broken, heard = Breaks(), Heard(storage)
    outcome = execute(echo, storage, units(2000), listeners=(broken, heard))
    assert broken.calls == 1
    assert len(heard.results) == len(outcome.results) == 2000
    assert "the terminal is gone" in caplog.text


@pytest.mark.parametrize("max_errors", [0, 2])
def test_max_errors_stops_at_once(storage: Storage, max_errors: int) -> None:
    """The error after the last that is allowed ends the run; with one worker exactly there."""
    calls: list[int] = []

    def task(item: dict[str, Any]) -> dict[str, object]:
        calls.append(item["n"])
        if item["n"] % 2:
            raise ValueError
        return {"output": 1}

    outcome = execute(task, storage, units(1000), max_errors=max_errors)
    assert outcome.stop_reason == "max_errors"
    assert calls == list(range(2 * (max_errors + 1)))
    assert len(outcome.results) == len(calls)


def test_max_errors_lets_what_is_in_flight_finish(storage: Storage) -> None:
    """Tasks that run when the limit is passed are kept; nothing new starts."""
    both = threading.Barrier(2, timeout=20)
    failed = threading.Event()

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] < 2:
            both.wait()
        if item["n"] == 0:
            failed.set()
            raise ValueError
        failed.wait(20)
        return {"output": 1}

    # How many units the other thread gets through before the failure is counted is up to the
    # interpreter; that it stops long before the end is not.
    outcome = execute(task, storage, units(2000), workers=2, total=2000, max_errors=0)
    assert {0, 1} <= {int(r.test_case.dataset_item_id[5:]) for r in outcome.results}
    assert len(outcome.results) < 2000


def test_a_fatal_error_ends_the_run_and_is_handed_out(storage: Storage) -> None:
    """An exception that every unit would meet stops the run; its unit is left for a resume."""
    sink = ListSink()

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] == 3:
            raise PermissionError("no key")
        return {"output": 1}

    outcome = execute(
        task,
        storage,
        units(100),
        late=sink,
        is_fatal=lambda error: isinstance(error, PermissionError),
    )
    assert outcome.stop_reason == "fatal"
    assert isinstance(outcome.error, PermissionError)
    assert len(outcome.results) == 3
    assert [type(record).__name__ for record in sink.records] == ["Trace"]


def test_errors_that_are_not_fatal_cost_their_unit(storage: Storage) -> None:
    """What the caller does not call fatal is an error of its unit."""

    def task(item: dict[str, Any]) -> dict[str, object]:
        raise ValueError

    outcome = execute(task, storage, units(3), is_fatal=lambda error: False)
    assert outcome.stop_reason == "completed"
    assert len(outcome.results) == 3


def test_the_first_reason_to_stop_is_the_one_that_counts(storage: Storage) -> None:
    """A fatal error after the budget was spent does not change why the run stopped."""

    async def main() -> RunOutcome:
        run = Run(
            RunSpec(
                runner=runner(echo),
                storage=storage,
                units=units(5),
                total=5,
                workers=1,
                late=ListSink(),  # type: ignore[arg-type]
                is_fatal=lambda error: True,
            )
        )
        run.budget_exceeded()
        assert run.ends_with(lost(units(1)[0], PermissionError()))
        return await run.execute()

    outcome = asyncio.run(main())
    assert outcome.stop_reason == "budget"
    assert outcome.results == []


def test_missing_arguments_end_the_run_at_the_first_output(storage: Storage) -> None:
    """Where only the output shows that an argument is missing, the first one decides."""

    def task(item: dict[str, Any]) -> dict[str, object]:
        return dict(item)

    with pytest.raises(MissingArgumentError):
        execute(task, storage, units(1000), metrics=[Equals()])
    assert len(list(storage.list_experiment_items("experiment"))) < 100


def test_reused_results_stand_in_their_place(storage: Storage) -> None:
    """Results of an earlier run are part of the outcome, in order."""
    first = execute(echo, storage, units(3))
    work = [unit for unit in units(5) if unit.index not in (0, 2)]
    reused = {0: first.results[0], 2: first.results[2]}
    outcome = execute(echo, storage, work, reused=reused)
    assert [r.test_case.task_output for r in outcome.results] == [{"output": n} for n in range(5)]
    assert outcome.results[2] is first.results[2]


class Refusing:
    """A store that fails, or refuses some records."""

    def __init__(self, inner: Storage, error: Exception, needle: str) -> None:
        self._inner, self._error, self._needle = inner, error, needle

    def write(self, records: Iterable[Writable]) -> None:
        kept = one_by_one(records)
        for record in kept:
            if isinstance(record, ExperimentItem) and record.dataset_item_id == self._needle:
                raise self._error
        self._inner.write(kept)


def test_a_refused_unit_is_reported_and_the_rest_is_stored(storage: Storage) -> None:
    """A unit that cannot be stored is in the results and counted as unsaved."""
    refusing = Refusing(storage, TypeError("what is this"), "item-7")
    outcome = execute(echo, refusing, units(20))  # type: ignore[arg-type]
    assert len(outcome.results) == 20
    assert outcome.unsaved == 1
    assert outcome.refusals == ("TypeError: what is this",)
    assert outcome.stop_reason == "completed"
    assert len(list(storage.list_experiment_items("experiment"))) == 19


def test_a_failing_store_ends_the_run_with_all_that_is_done(storage: Storage) -> None:
    """The store's error ends the run; results that are not stored are in the outcome."""
    refusing = Refusing(storage, UnavailableError("disk full"), "item-7")
    outcome = execute(echo, refusing, units(5000))  # type: ignore[arg-type]
    assert outcome.stop_reason == "storage"
    assert isinstance(outcome.error, UnavailableError)
    assert outcome.unsaved >= 1
    assert len(outcome.results) < 5000
    assert 7 in [r.test_case.task_output["output"] for r in outcome.results]  # type: ignore[index]


def test_memory_stays_bounded_while_units_stream(storage: Storage) -> None:
    """Units are made as they are needed, not all at once."""
    made, ahead = [0], [0]
    done: list[int] = []

    def source() -> Iterator[WorkUnit]:
        for unit in units(3000):
            made[0] += 1
            ahead[0] = max(ahead[0], made[0] - len(done))
            yield unit

    def task(item: dict[str, Any]) -> dict[str, object]:
        done.append(item["n"])
        return {"output": 1}

    outcome = execute(task, storage, source())
    assert len(outcome.results) == 3000
    assert ahead[0] <= 70
