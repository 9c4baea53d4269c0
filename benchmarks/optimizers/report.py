"""Tables of outcomes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby

from benchmarks.optimizers.contest import Outcome

# gepa 0.1.4, mean ratio after 300, 600 and 1200 metric calls in the measurements that the targets
# were derived from: what the landscapes were tuned to.
MEASURED: dict[str, dict[str, tuple[float, float, float]]] = {
    "gepa:pareto": {
        "easy": (0.67, 0.96, 0.98),
        "rules": (0.35, 0.57, 0.86),
        "noisy": (0.30, 0.52, 0.69),
        "long": (0.24, 0.34, 0.53),
        "cost": (0.38, 0.55, 0.79),
        "trap": (0.30, 0.63, 0.84),
        "fork": (0.28, 0.54, 0.82),
        "two": (0.18, 0.34, 0.52),
    },
    "gepa:current_best": {
        "easy": (0.79, 0.97, 0.97),
        "rules": (0.50, 0.78, 0.94),
        "noisy": (0.27, 0.42, 0.59),
        "long": (0.27, 0.46, 0.65),
        "cost": (0.48, 0.75, 0.81),
        "trap": (0.43, 0.74, 0.89),
        "fork": (0.30, 0.42, 0.61),
        "two": (0.15, 0.29, 0.47),
    },
    "gepa:pxn": {
        "easy": (0.58, 0.83, 0.97),
        "rules": (0.31, 0.48, 0.77),
        "noisy": (0.29, 0.38, 0.56),
        "long": (0.15, 0.24, 0.38),
        "cost": (0.30, 0.46, 0.67),
        "trap": (0.27, 0.49, 0.77),
        "fork": (0.29, 0.49, 0.77),
        "two": (0.14, 0.23, 0.41),
    },
}
MEASURED_BUDGETS = (300, 600, 1200)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error; the error of a single value is not known.

    Example:
        >>> mean_and_error([1.0, 3.0])
        (2.0, 1.0)
    """
    if len(values) < 2:
        return statistics.fmean(values), math.nan
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def comparison(outcomes: Iterable[Outcome]) -> str:
    """Return a Markdown table: a row for each contestant, task and budget, then the means."""
    lines = [
        "| contestant | task | B | ratio | measured | optimism | overshoot | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = list(outcomes)
    lines += [_row(group, name) for name, group in _groups(rows)]
    if len({o.job.task for o in rows}) > 1:
        lines += [_row(group, (name[0], "mean", name[1])) for name, group in _by_budget(rows)]
    return "\n".join(lines)


def summary(outcomes: Iterable[Outcome]) -> list[dict[str, object]]:
    """Return the same as plain types."""
    return [
        {
            "contestant": contestant,
            "task": task,
            "budget": budget,
            "seeds": len(group),
            "ratio": statistics.fmean(o.ratio for o in group),
            "ratio_standard_error": mean_and_error([o.ratio for o in group])[1],
            "optimism": statistics.fmean(o.optimism for o in group),
            "overshoot_mean": statistics.fmean(o.overshoot for o in group),
            "overshoot_max": max(o.overshoot for o in group),
            "is_baseline": statistics.fmean(o.is_baseline for o in group),
            "seconds": statistics.fmean(o.seconds for o in group),
            "cpu_seconds": statistics.fmean(o.cpu_seconds for o in group),
        }
        for (contestant, task, budget), group in _groups(list(outcomes))
    ]


def _groups(rows: list[Outcome]) -> list[tuple[tuple[str, str, int], list[Outcome]]]:
    def key(outcome: Outcome) -> tuple[str, str, int]:
        return outcome.job.contestant, outcome.job.task, outcome.job.budget

    order = {name: number for number, name in enumerate(dict.fromkeys(map(key, rows)))}
    rows = sorted(rows, key=lambda outcome: order[key(outcome)])
    return [(name, list(group)) for name, group in groupby(rows, key)]


def _by_budget(rows: list[Outcome]) -> list[tuple[tuple[str, int], list[Outcome]]]:
    names = dict.fromkeys((o.job.contestant, o.job.budget) for o in rows)
    return [(name, [o for o in rows if (o.job.contestant, o.job.budget) == name]) for name in names]


def _row(group: list[Outcome], name: tuple[str, str, int]) -> str:
    contestant, task, budget = name
    if task == "mean":
        # The mean over tasks has the error of a mean of means, each task drawn by its own seeds.
        tasks = [[o.ratio for o in group if o.job.task == t] for t in {o.job.task for o in group}]
        ratio = statistics.fmean(mean_and_error(values)[0] for values in tasks)
        error = math.hypot(*(mean_and_error(values)[1] for values in tasks)) / len(tasks)
    else:
        ratio, error = mean_and_error([o.ratio for o in group])
    overshoot = [o.overshoot for o in group]
    return (
        f"| {contestant} | {task} | {budget} | {ratio:.3f} ±{error:.3f} "
        f"| {_measured(contestant, task, budget)} "
        f"| {statistics.fmean(o.optimism for o in group):+.3f} "
        f"| {statistics.fmean(overshoot):.0f} (max {max(overshoot)}) "
        f"| {statistics.fmean(o.cpu_seconds for o in group):.2f} |"
    )


def _measured(contestant: str, task: str, budget: int) -> str:
    table = MEASURED.get(contestant, {})
    if budget not in MEASURED_BUDGETS or (task != "mean" and task not in table) or not table:
        return ""
    place = MEASURED_BUDGETS.index(budget)
    values = [row[place] for name, row in table.items() if task in {name, "mean"}]
    return f"{statistics.fmean(values):.2f}"
