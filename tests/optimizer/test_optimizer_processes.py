"""A search goes the same way in every process: resuming after a crash depends on it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import opik_optimizer
from opik_eval.serialization import content_hash
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, simulated_reflection

task = SimulatedTask(items=80, rules=6, hints=0.7)
space = {"temperature": {"type": "float", "min": 0, "max": 1}}
own = {"ParameterOptimizer": {"search_space": space}}
names = "MetaPrompt Gepa Evolutionary FewShotBayesian HierarchicalReflective Parameter"
for name in (f"{name}Optimizer" for name in names.split()):
    writer = simulated_reflection(errors=0.1)
    optimizer = getattr(opik_optimizer, name)(writer, verbose=0, **own.get(name, {}))
    result = optimizer.optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        agent=SimulatedAgent(task),
        budget=opik_optimizer.Budget(metric_calls=250),
        storage="memory:",
    )
    decisions = [
        [(t.candidate_id, t.decision, t.reason, t.score) for t in entry.trials]
        for entry in result.rounds
    ]
    details = [entry.details for entry in result.rounds]
    print(name, content_hash([decisions, details, result.prompts, result.stop_reason]))
"""


@pytest.mark.slow
def test_the_order_of_sets_decides_nothing() -> None:
    """With another seed of Python's hashes, every optimizer does exactly the same."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0].count("\n") == 6
    assert runs[0] == runs[1]
