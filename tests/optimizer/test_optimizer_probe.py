"""The probe before spending, and the pictures after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_optimizer_result import a_result

from opik_optimizer.probe import judge_headroom, repeat_noise


def test_the_noise_is_found_with_sixty_calls() -> None:
    """Twenty items, three runs each: the standard deviation is found within 20 per cent."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        difficulty = rng.normal(0.5, 0.3, 20)
        runs = [
            {str(i): float(d + rng.normal(0, 0.1)) for i, d in enumerate(difficulty)}
            for _ in range(3)
        ]
        found.append(repeat_noise(runs))
    near = [noise is not None and abs(noise - 0.1) <= 0.02 for noise in found]
    assert float(np.mean(near)) >= 0.9


def test_one_run_says_nothing_about_noise() -> None:
    """Without a repeat there is no estimate, not a zero."""
    assert repeat_noise([{"a": 1.0}]) is None
    assert repeat_noise([]) is None


def simulated(gain: float, seed: int) -> str:
    rng = np.random.default_rng(seed)
    base = {str(i): float(rng.random() < 0.4) for i in range(20)}
    tried = [{i: float(rng.random() < 0.4 + gain) for i in base} for _ in range(3)]
    return judge_headroom(base, tried, best_possible=1.0)[0]


def test_nothing_but_noise_says_stop() -> None:
    """Where no candidate is better, at least nine of ten probes say stop."""
    assert np.mean([simulated(0.0, s) == "stop" for s in range(200)]) >= 0.9


def test_a_strong_effect_says_go() -> None:
    """Where candidates gain much, nearly all probes say go."""
    assert np.mean([simulated(0.5, s) == "go" for s in range(100)]) >= 0.95


def test_a_perfect_baseline_leaves_no_headroom() -> None:
    """At the top of the range there is nothing to gain, and nothing is to be tried."""
    verdict, reason, gain = judge_headroom({"a": 1.0}, [], best_possible=1.0)
    assert (verdict, gain) == ("stop", None)
    assert "no score is higher" in reason
    assert judge_headroom({"a": 0.5}, None, best_possible=1.0)[0] == "unknown"
    assert judge_headroom({"a": 0.5}, [], best_possible=1.0)[0] == "stop"


def test_equal_scores_are_no_sign_of_life() -> None:
    """A candidate that changes no score is no reason to go on."""
    verdict, reason, gain = judge_headroom({"a": 0.0}, [{"a": 0.0}], best_possible=1.0)
    assert (verdict, gain) == ("stop", 0.0)
    assert "luck" in reason


def test_the_picture_is_written(tmp_path: Path) -> None:
    """The plot shows the trials and lands in the file."""
    path = tmp_path / "run.svg"
    figure = a_result().plot(path)
    assert len(figure.axes) == 2  # type: ignore[attr-defined]
    assert "accuracy" in path.read_text()
