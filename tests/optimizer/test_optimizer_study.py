"""The Optuna study that optimizers use."""

from __future__ import annotations

import math

import pytest

from opik_optimizer.study import SeededStudy, expected_trials, startup_trials


def run(study: SeededStudy, trials: int = 25) -> list[float]:
    """Maximise a parabola, three trials behind, and return what was asked."""
    waiting, asked = [], []
    for _ in range(trials):
        trial = study.ask()
        asked.append(trial.suggest_float("x", 0, 1))
        waiting.append((trial, asked[-1]))
        if len(waiting) > 3:
            done, x = waiting.pop(0)
            study.complete(done, 1 - (x - 0.7) ** 2)
    return asked


def test_equal_seeds_ask_the_same() -> None:
    """Asked and told in the same order, studies of one seed agree; others do not."""
    first, again, other = (run(SeededStudy(seed=s, trials=25)) for s in (1, 1, 2))
    assert first == again != other


def test_it_learns() -> None:
    """Later trials are nearer to the optimum than the random ones."""
    asked = run(SeededStudy(seed=4, trials=25))
    early, late = (sum(abs(x - 0.7) for x in part) / len(part) for part in (asked[:6], asked[-8:]))
    assert late < early


def test_enqueued_values_come_first() -> None:
    """Values that were enqueued are asked first; what they lack is sampled."""
    study = SeededStudy(seed=1, trials=9)
    study.enqueue({"x": 0.25})
    trial = study.ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    assert 0 <= trial.suggest_float("y", 0, 1) <= 1


def test_every_end_of_a_trial_is_understood() -> None:
    """Pruned, failed and infinite trials are told, and the study goes on."""
    study = SeededStudy(seed=1, trials=4, is_multivariate=False)
    pruned, failed, infinite = (study.ask() for _ in range(3))
    for trial in (pruned, failed, infinite):
        trial.suggest_float("x", 0, 1)
    study.prune(pruned, 0.3, step=2)
    study.fail(failed)
    study.complete(infinite, math.inf)
    states = [trial.state.name for trial in study._study.trials]
    assert states == ["PRUNED", "FAIL", "FAIL"]
    study.ask().suggest_float("x", 0, 1)


def test_several_values() -> None:
    """The first value is maximised, the others are minimised."""
    study = SeededStudy(seed=1, trials=8, minimised=1)
    for x in (0.1, 0.5):
        study.enqueue({"x": x})
        trial = study.ask()
        study.complete(trial, trial.suggest_float("x", 0, 1), 3.0)
    assert [trial.values for trial in study._study.best_trials] == [[0.5, 3.0]]


@pytest.mark.parametrize("trials", [1, 2, 3, 10, 40, 1000])
def test_some_trials_are_left_for_the_model(trials: int) -> None:
    """Of two trials or more, not all are drawn at random."""
    assert 1 <= startup_trials(trials) <= max(1, min(10, trials - 1))


def test_expected_trials() -> None:
    """The tightest limit counts; without limits there are many, and never fewer than one."""
    assert expected_trials((None, None), 40) == 100
    assert expected_trials((7, None), 40) == 7
    assert expected_trials((7, 120), 40) == 3
    assert expected_trials((7, 10), 40) == 1
