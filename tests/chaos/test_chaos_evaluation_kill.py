"""kill -9 at any moment: resume gives the uninterrupted result and repeats nothing stored."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from opik_eval.experiments.loading import load_result
from opik_eval.storage.opening import open_storage

ITEMS = 60  # as in the program below
MOMENTS = 30
PROGRAM = """
import os, signal, sys, threading, time
from opik_eval import evaluate
from opik_eval.metrics import Equals

database, log, deadline, delay = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
calls = 0
reached = threading.Event()


def executioner():
    reached.wait()
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


def task(item):
    global calls
    with open(log, "a") as file:
        file.write(f"{item['n']}\\n")
    calls += 1
    if calls >= deadline:
        reached.set()
    time.sleep(0.001)
    return {"output": str(item["n"] % 7)}


if deadline:
    threading.Thread(target=executioner, daemon=True).start()
items = [{"n": n, "reference": str(n % 5)} for n in range(60)]
result = evaluate(
    items, task, [Equals()], storage=f"file:{database}", experiment_name="run", resume=True,
    task_threads=4, verbose=0,
)
print(result.reused_items)
"""


def run(tmp_path: Path, log: Path, *, deadline: int = 0, delay: float = 0.0) -> int:
    """Run the program; return how it ended."""
    arguments = [str(tmp_path / "runs.db"), str(log), str(deadline), str(delay)]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], check=False, capture_output=True, timeout=60
    ).returncode


def stored(tmp_path: Path) -> set[int]:
    """Return the numbers of the items whose result is in the store."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    experiments = list(storage.list_experiments(name="run"))
    numbers = {
        result.test_case.dataset_item_content["n"]
        for experiment in experiments
        for result in load_result(storage, experiment.id).test_results
    }
    storage.close()
    return numbers  # type: ignore[return-value]


def scores(tmp_path: Path) -> list[tuple[object, object]]:
    """Return (item, score) of the finished experiment."""
    storage = open_storage(f"file:{tmp_path / 'runs.db'}")
    result = load_result(storage, "run")
    storage.close()
    return [
        (r.test_case.dataset_item_content["n"], r.score_results[0].value)
        for r in result.test_results
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_and_resume(tmp_path: Path) -> None:
    """Killed at 30 seeded moments, a run ends as if it had not been; nothing stored runs again."""
    expected = [(n, float(n % 7 == n % 5)) for n in range(ITEMS)]
    seeds = random.Random(20)
    killed = 0
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        kill = run(
            folder, folder / "first", deadline=seeds.randint(1, ITEMS), delay=seeds.random() / 50
        )
        killed += kill == -signal.SIGKILL
        before = stored(folder)
        assert run(folder, folder / "second") == 0
        again = (
            Counter(int(line) for line in (folder / "second").read_text().split())
            if (folder / "second").exists()
            else Counter[int]()
        )
        assert not before & set(again), "an item whose result was stored ran again"
        assert set(again) | before == set(range(ITEMS))
        assert max(again.values(), default=1) == 1
        assert scores(folder) == expected
    assert killed > MOMENTS // 2
