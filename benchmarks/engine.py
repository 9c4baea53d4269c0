"""Overhead of the engine: no-op tasks, waiting tasks, memory; peers beside us in the same run.

    python benchmarks/engine.py overhead --items 10000 --out benchmarks/results/engine.json
    python benchmarks/engine.py waiting --items 500 --in-flight 50
    python benchmarks/engine.py scale

Every contestant runs in a process of its own, all with the same number of items; opik, which takes
minutes for 10 000, runs once where the others are repeated. Peers that are not installed are left
out and named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import description, save

Measured = dict[str, float]
_ONCE = ("opik",)


def _items(count: int) -> list[dict[str, str]]:
    return [{"question": f"question number {n}", "reference": "x"} for n in range(count)]


def _measure(count: int, run: Callable[[], object]) -> Measured:
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "items_per_second": count / wall,
        "seconds": wall,
        "cpu_ms_per_item": cpu / count * 1000,
        "peak_mb": peak,
    }


def _ours(count: int, in_flight: int, wait: float, *, is_async: bool) -> Measured:
    from opik_eval import evaluate, open_storage
    from opik_eval.datasets.dataset import from_items
    from opik_eval.metrics import Equals

    def task(item: dict[str, object]) -> dict[str, object]:
        if wait:
            time.sleep(wait)
        return {"output": "x"}

    async def coroutine(item: dict[str, object]) -> dict[str, object]:
        if wait:
            await asyncio.sleep(wait)
        return {"output": "x"}

    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"file:{folder}/bench.db")
        dataset = from_items(_items(count), storage=storage)
        chosen = coroutine if is_async else task
        measured = _measure(
            count,
            lambda: evaluate(
                dataset, chosen, [Equals()], storage=storage, task_threads=in_flight, verbose=0
            ),
        )
        (experiment,) = storage.list_experiments()
        stored = sum(1 for _ in storage.list_experiment_items(experiment.id))
        assert stored == count, "every result must be in the store"
        storage.close()
    return measured


def opik_eval_sync(count: int, in_flight: int, wait: float) -> Measured:
    """Plain functions, durable file store."""
    return _ours(count, in_flight, wait, is_async=False)


def opik_eval_async(count: int, in_flight: int, wait: float) -> Measured:
    """Coroutine functions, durable file store."""
    return _ours(count, in_flight, wait, is_async=True)


def pydantic_evals(count: int, in_flight: int, wait: float) -> Measured:
    """pydantic-evals, coroutine task; stores nothing."""
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    async def task(question: str) -> str:
        if wait:
            await asyncio.sleep(wait)
        return "x"

    cases = [Case(inputs=item["question"], expected_output="x") for item in _items(count)]
    dataset = Dataset(name="bench", cases=cases, evaluators=[EqualsExpected()])
    return _measure(
        count,
        lambda: dataset.evaluate_sync(task, max_concurrency=in_flight, progress=False),
    )


def pydantic_evals_sync(count: int, in_flight: int, wait: float) -> Measured:
    """pydantic-evals, plain task; stores nothing."""
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    def task(question: str) -> str:
        if wait:
            time.sleep(wait)
        return "x"

    cases = [Case(inputs=item["question"], expected_output="x") for item in _items(count)]
    dataset = Dataset(name="bench", cases=cases, evaluators=[EqualsExpected()])
    return _measure(
        count,
        lambda: dataset.evaluate_sync(task, max_concurrency=in_flight, progress=False),
    )


def floor(count: int, in_flight: int, wait: float) -> Measured:
    """A bare asyncio loop that keeps results in a list."""

    async def one(limit: asyncio.Semaphore) -> float:
        async with limit:
            if wait:
                await asyncio.sleep(wait)
            return 1.0

    async def run() -> None:
        limit = asyncio.Semaphore(in_flight)
        await asyncio.gather(*(one(limit) for _ in range(count)))

    return _measure(count, lambda: asyncio.run(run()))


def opik(count: int, in_flight: int, wait: float) -> Measured:
    """Opik's evaluate against a server on loopback that acknowledges everything."""
    from opik_stub import serving

    with serving(_items(count)) as client:
        import opik

        def task(item: dict[str, object]) -> dict[str, object]:
            if wait:
                time.sleep(wait)
            return {"output": "x"}

        dataset = client.get_dataset("bench")
        return _measure(
            count,
            lambda: opik.evaluate(
                dataset=dataset,
                task=task,
                scoring_metrics=[opik.evaluation.metrics.Equals()],
                experiment_name="bench",
                task_threads=in_flight,
                verbose=0,
            ),
        )


CONTESTANTS = {
    function.__name__: function
    for function in (
        floor,
        opik_eval_sync,
        opik_eval_async,
        pydantic_evals,
        pydantic_evals_sync,
        opik,
    )
}


def _run(name: str, count: int, in_flight: int, wait: float) -> Measured | str:
    """Run one contestant in a process of its own."""
    arguments = [sys.executable, __file__, "one", name, str(count), str(in_flight), str(wait)]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:200]
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def _compete(
    names: list[str], count: int, in_flight: int, wait: float, repeats: int
) -> dict[str, object]:
    rows: dict[str, object] = {}
    runs: dict[str, list[Measured | str]] = {name: [] for name in names}
    for turn in range(repeats):  # in turns, so that what else the machine does concerns all
        for name in names:
            if turn == 0 or name not in _ONCE:
                runs[name].append(_run(name, count, in_flight, wait))
    for name in names:
        good = [run for run in runs[name] if not isinstance(run, str)]
        if good:
            middle = sorted(good, key=lambda run: run["seconds"])[len(good) // 2]
            rows[name] = {"median_of_runs": len(good), **middle}
        else:
            rows[name] = str(runs[name][0])
        print(f"{name:<20} {rows[name]}", flush=True)
    return rows


def _ratios(rows: dict[str, object], against: str) -> dict[str, dict[str, float]]:
    """Return how many times as fast ours is, and how many times as much processor others take."""
    ours = rows.get(against)
    if not isinstance(ours, dict):
        return {}
    return {
        name: {
            "items_per_second": round(ours["items_per_second"] / row["items_per_second"], 2),
            "processor_time": round(row["cpu_ms_per_item"] / ours["cpu_ms_per_item"], 2),
        }
        for name, row in rows.items()
        if isinstance(row, dict) and name != against
    }


def main() -> None:
    """Run a benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["overhead", "waiting", "scale", "one"])
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--wait", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contestants", nargs="*", default=list(CONTESTANTS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "one":
        name, count, in_flight, wait = given.rest
        print(json.dumps(CONTESTANTS[name](int(count), int(in_flight), float(wait))))
        return
    wait = given.wait if given.what == "waiting" else 0.0
    counts = [given.items] if given.what != "scale" else [10_000, 100_000]
    result: dict[str, object] = {
        "benchmark": f"engine {given.what}",
        "machine": description("opik-eval", "pydantic-evals", "opik", "pydantic", "orjson"),
        "in_flight": given.in_flight,
    }
    for count in counts:
        names = given.contestants if given.what != "scale" else ["opik_eval_sync"]
        rows = _compete(names, count, given.in_flight, wait, given.repeats)
        result[f"{count} items"] = {
            "rows": rows,
            "ours_over_theirs": {
                name: _ratios(rows, name) for name in ("opik_eval_sync", "opik_eval_async")
            },
            "ideal_seconds": count / given.in_flight * wait or None,
        }
        print(json.dumps(result[f"{count} items"], indent=2))
    save(given.out, result)


if __name__ == "__main__":
    main()
