"""What an optimizer should beat. Variants: ``seed`` changes nothing; ``greedy`` climbs.

``greedy`` shows the reflection model three items of the best prompt so far, scores the reply on
the whole validation split, and keeps it if its mean is higher.
"""

from __future__ import annotations

import random
import statistics

from benchmarks.optimizers.contest import Claim, Job
from benchmarks.optimizers.simulation.task import Record, SimulatedTask

_SHOWN = 3


def run(job: Job, task: SimulatedTask) -> Claim:
    """Run within the budget, to the call."""
    draw = random.Random(job.seed)
    best, score = task.seed_prompts, _score(task, task.seed_prompts)
    while job.variant == "greedy":
        if task.meter.answers + _SHOWN + len(task.validation) > job.budget:
            break
        name = draw.choice(sorted(best))
        shown = [_show(task, best, item) for item in draw.sample(task.train, _SHOWN)]
        child = {**best, name: task.reflect("\n".join([best[name], *shown]))}
        found = _score(task, child)
        if found > score:
            best, score = child, found
    return Claim(prompts=best, score=score)


def _score(task: SimulatedTask, prompts: dict[str, str]) -> float:
    return statistics.fmean(
        task.metric(item, task.answer(prompts, item))[0] for item in task.validation
    )


def _show(task: SimulatedTask, prompts: dict[str, str], item: Record) -> str:
    output = task.answer(prompts, item)
    return f"{item['question']} {output}: {task.metric(item, output)[1]}"
