"""The published optimizer runs against our server."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_an_optimization_is_read_back_as_it_was_run(drive, readback):
    """The optimization ends as completed, with its trials, traces and scores."""
    report = drive("optimizing.py", "optimizing")
    said = report["said"]
    expected = Expectation.of(report["exchanges"])
    readback.assert_traced(expected, "optimizing")
    readback.assert_scored(expected, "optimizing")
    readback.assert_experiment_items(expected)
    readback.assert_dataset_items(expected)
    optimization = readback.storage.find_optimization(said["optimization"])
    assert (optimization.status, optimization.dataset_name) == ("completed", "optimizing capitals")
    trials = list(readback.storage.list_experiments(optimization_id=said["optimization"]))
    assert {trial.type for trial in trials} == {"trial"}
    assert len(trials) >= 2
    for trial in trials:
        assert len(list(readback.storage.list_experiment_items(trial.id))) == 3
    view = readback.get(f"optimizations/{said['optimization']}")
    assert view["num_trials"] == len(trials)
    assert said["score"] > said["initial"]
    assert view["best_objective_score"] == pytest.approx(said["score"])
