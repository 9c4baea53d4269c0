"""Other processes: the same results, spans included; what cannot work is said before or clearly."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import engine_workers as work
import joblib
import pytest
from engine_fakes import Run, runner, schedule, unit, units

from opik_eval.engine.executors import check_executor, run_in_processes, run_shard
from opik_eval.engine.failures import InterruptError
from opik_eval.errors import ConfigError, TaskError
from opik_eval.storage.opening import open_storage
from opik_eval.tracing.tracer import Tracer


def through(run: Run, name: str = "loky") -> Run:
    asyncio.run(run_in_processes(run.scheduling, name))
    return run


def unpacked(shard: list[bytes]) -> list[Any]:
    return [pickle.loads(packed) for packed in shard]


@pytest.mark.parametrize("task", [work.troubled, work.troubled_later])
def test_units_come_back_from_other_processes_whole(task: Any) -> None:
    """Outputs, errors, scores of both kinds of metric, spans and trials arrive, each unit once."""
    kinds = {3: "raises", 4: "cancelled", 5: "unpicklable"}
    planned = [unit(n, trial=n % 2, kind=kinds.get(n)) for n in range(40)]
    run = through(schedule(runner(task, [work.Now(), work.Later()]), planned, workers=2))
    assert run.indices == list(range(40))
    by_index = {finished.unit.index: finished for finished in run.delivered}
    errors = {n: f.result.error.exception_type for n, f in by_index.items() if f.result.error}
    assert errors == {3: "ValueError", 4: "CancelledError", 5: "TaskError"}
    assert "cannot be sent back" in (by_index[5].result.error.message or "")
    assert [s.scoring_failed for s in by_index[1].result.score_results] == [True, False]
    output = by_index[7].result.test_case.task_output
    assert (output["output"], output["trial"]) == (7, 1)
    assert output["process"] != os.getpid()
    names = {type(r).__name__: getattr(r, "name", None) for r in by_index[7].records}
    assert names == {"Span": "look_up", "Trace": "evaluation_task"}


def test_late_spans_go_to_the_store_of_the_run(tmp_path: Path) -> None:
    """In another process, what comes after its task is stored where everything else is."""
    made = runner(work.troubled)
    target = f"file:{tmp_path / 'run.db'}"
    made._fallback = Tracer(target, project_name="p")
    there = pickle.loads(pickle.dumps(made))
    trace, sink = there._open_trace(unit(0))
    sink.take()
    trace.end()
    there._fallback.close()
    with closing(open_storage(target)) as storage:
        assert [stored.id for stored in storage.list_traces()] == [trace.id]


def test_a_worker_gives_up_a_stuck_task() -> None:
    """A task that overstays its time in another process costs its unit."""
    made = runner(work.troubled, [work.Now()], timeout_seconds=0.1)
    stuck, fine = unpacked(run_shard(made, [unit(0, kind="stuck"), unit(2)]))
    assert "timeout_seconds=0.1" in (stuck.result.error.message or "")
    assert fine.result.score_results[0].value == 2.0


def test_a_shard_is_run_in_order_with_all_kinds_of_metrics() -> None:
    """What a worker process does, seen from inside: one unit after the other, results pickled."""
    done = unpacked(run_shard(runner(work.troubled, [work.Now(), work.Later()]), units(4)))
    assert [f.unit.index for f in done] == [0, 1, 2, 3]
    assert [s.name for s in done[0].result.score_results] == ["Now", "Later"]
    later = unpacked(run_shard(runner(work.troubled_later, [work.Now()]), units(2)))
    assert [f.result.error for f in later] == [None, None]
    cancelled = unpacked(run_shard(runner(work.troubled), [unit(0, kind="cancelled")]))
    assert cancelled[0].result.error.exception_type == "CancelledError"
    odd = unpacked(run_shard(runner(work.troubled), [unit(0, kind="unpicklable")]))
    assert "return plain values" in (odd[0].result.error.message or "")


def test_interrupts_in_workers_end_the_run() -> None:
    """KeyboardInterrupt in a worker is carried as an error that no event loop trips over."""
    with pytest.raises(InterruptError):
        run_shard(runner(work.interrupts), units(1))
    with pytest.raises(InterruptError):
        through(schedule(runner(work.interrupts), units(3)))


def test_a_worker_that_dies_is_explained_and_what_is_done_is_kept() -> None:
    """When a process dies, results that arrived are delivered and the error says what to do."""
    run = schedule(runner(work.dies), units(60), workers=2)
    with pytest.raises(TaskError, match="worker processes failed") as caught:
        through(run)
    assert "resume" in (caught.value.remedy or "")
    assert 30 not in run.indices
    assert len(run.indices) == len(set(run.indices))


def test_a_task_that_cannot_be_sent_is_explained() -> None:
    """A task that holds a lock cannot travel; the error says so instead of a raw PicklingError."""
    lock = threading.Lock()

    def task(item: dict[str, Any]) -> dict[str, object]:
        with lock:
            return {"output": 1}

    with pytest.raises(TaskError, match="worker processes failed"):
        through(schedule(runner(task), units(2)))


def test_cancelling_deals_nothing_more() -> None:
    """After Ctrl-C the workers finish what they hold, and get nothing new."""
    run = schedule(runner(work.slow), units(2000), workers=2)

    async def main() -> None:
        running = asyncio.create_task(run_in_processes(run.scheduling, "loky"))
        while not run.delivered:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name == "opik-eval-coordinator":
            thread.join(20)
            assert not thread.is_alive()
    assert not run.scheduling.feed.is_open
    assert len(run.delivered) < 500


def test_errors_of_the_receiver_come_out_as_they_are() -> None:
    """What breaks in this process is not blamed on the workers."""
    run = schedule(runner(work.troubled), units(3))
    run.scheduling.deliver = _refuse
    with pytest.raises(ZeroDivisionError):
        through(run)


def _refuse(finished: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("threads", {}, "executor='threads' is unknown"),
        ("loky", {"has_budget": True}, "budget="),
        ("loky", {"has_cache": True}, "cache="),
        ("ray", {}, "needs the package ray"),
        ("dask", {}, "needs the package dask"),
    ],
)
def test_executors_are_checked_before_the_run(name: str, options: dict, said: str) -> None:
    """What is unknown, not installed or cannot keep a promise is refused with a remedy."""
    given = {"has_budget": False, "has_cache": False, **options}
    with pytest.raises(ConfigError, match=said) as caught:
        check_executor(name, **given)
    assert caught.value.remedy


def test_no_executor_and_loky_need_nothing() -> None:
    """Threads are always there, and so is loky."""
    check_executor(None, has_budget=True, has_cache=True)
    check_executor("loky", has_budget=False, has_cache=False)


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package ray whose backend is joblib's threads."""
    registered: list[str] = []

    def register_ray() -> None:
        registered.append("ray")
        joblib.register_parallel_backend("ray", joblib.parallel.ThreadingBackend)

    module = types.ModuleType("ray.util.joblib")
    module.register_ray = register_ray  # type: ignore[attr-defined]
    for name in ("ray", "ray.util"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "ray.util.joblib", module)
    yield registered
    joblib.parallel.BACKENDS.pop("ray", None)


def test_a_backend_is_registered_and_used(fake_ray: list[str]) -> None:
    """The backend of an installed package is made known to joblib and runs the units."""
    check_executor("ray", has_budget=False, has_cache=False)
    run = through(schedule(runner(work.troubled), units(5)), "ray")
    assert run.indices == [0, 1, 2, 3, 4]
    assert fake_ray == ["ray", "ray"]


def test_a_backend_that_is_not_ready_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cluster dask is refused before the run, with what has to be done first."""
    module = types.ModuleType("dask.distributed")

    def get_client() -> None:
        raise ValueError("No global client found")

    module.get_client = get_client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dask", types.ModuleType("dask"))
    monkeypatch.setitem(sys.modules, "dask.distributed", module)
    with pytest.raises(ConfigError, match="No global client") as caught:
        check_executor("dask", has_budget=False, has_cache=False)
    assert "dask.distributed.Client" in (caught.value.remedy or "")
