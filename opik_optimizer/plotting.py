"""Pictures of a run; needs matplotlib, which comes with the extra ``plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opik_optimizer.errors import ResultError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opik_optimizer.result import OptimizationResult


def plot_result(result: OptimizationResult, path: str | Path | None = None) -> Figure:
    """Draw the curve of scores over the trials, and score against prompt length.

    Args:
        result: What an optimizer returned.
        path: Where to write the picture; its suffix says the format.

    Raises:
        ResultError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResultError(
            "pictures need matplotlib, which is not installed",
            remedy='pip install "opik-eval[plot]"',
        ) from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    curve, front = figure.subplots(1, 2)
    _draw_curve(curve, result)
    _draw_front(front, result)
    if path is not None:
        figure.savefig(path)
    return figure


def _draw_curve(axes: Axes, result: OptimizationResult) -> None:
    best = result.initial_score
    steps = [best]
    for trial in result.trials:
        if trial.decision == "accepted" and trial.score is not None:
            best = max(best, trial.score)
        steps.append(best)
        if trial.score is not None:
            kept = trial.decision == "accepted"
            axes.plot(trial.index + 1, trial.score, "o", color="C2" if kept else "0.7")
    axes.step(range(len(steps)), steps, where="post", color="C0", label="best so far")
    axes.axhline(result.initial_score, linestyle="--", color="0.5", label="initial prompt")
    axes.set(xlabel="trial", ylabel=result.metric_name, title=result.optimizer)
    axes.legend()


def _draw_front(axes: Axes, result: OptimizationResult) -> None:
    points = [
        (float(trial.prompt_tokens), trial.score)
        for trial in result.trials
        if trial.score is not None and trial.prompt_tokens is not None
    ]
    front = sorted(p for p in points if not any(_dominates(other, p) for other in points))
    axes.plot([x for x, _ in points], [y for _, y in points], "o", color="0.7", label="candidates")
    axes.plot([x for x, _ in front], [y for _, y in front], "-o", color="C1", label="front")
    axes.set(xlabel="prompt tokens", ylabel=result.metric_name, title="score and length")
    axes.legend()


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Tell whether a point is no longer and scores no less, and is not the same."""
    return one != other and one[0] <= other[0] and one[1] >= other[1]
