"""Pictures of a run; needs matplotlib, which comes with the extra ``plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opik_optimizer.errors import ResultError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opik_optimizer.history import Trial
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
    scored = [t for t in result.trials if t.score is not None and t.prompt_tokens is not None]
    lengths = [trial.prompt_tokens for trial in scored]
    axes.plot(lengths, [trial.score for trial in scored], "o", color="0.7", label="candidates")
    front = [
        (trial.prompt_tokens, trial.score)
        for trial in scored
        if not any(_dominates(other, trial) for other in scored)
    ]
    front.sort(key=lambda point: point[0] or 0)
    axes.plot([x for x, _ in front], [y for _, y in front], "-o", color="C1", label="front")
    axes.set(xlabel="prompt tokens", ylabel=result.metric_name, title="score and length")
    axes.legend()


def _dominates(one: Trial, other: Trial) -> bool:
    """Tell whether one trial is no worse in both respects and better in one."""
    first, second = (_point(one), _point(other))
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


def _point(trial: Trial) -> tuple[float, float]:
    return (trial.score or 0.0, -(trial.prompt_tokens or 0))
