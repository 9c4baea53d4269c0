"""One run of one contestant, and what is kept of it. Standard library alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.optimizers.simulation.task import Prompts
from benchmarks.optimizers.simulation.world import World, make_world


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run.

    Attributes:
        contestant: Program and variant, such as ``gepa:pareto``.
        budget: Metric calls allowed, baseline and everything else included.
        seed: Both the world and the contestant's own seed.
        workers: Answers that may be under way at once; 0 = the contestant's usual loop.
        answer_seconds: How long the task model takes.
        reflection_seconds: How long the reflection model takes.
    """

    contestant: str
    task: str
    budget: int
    seed: int
    workers: int = 0
    answer_seconds: float = 0.0
    reflection_seconds: float = 0.0

    @property
    def program(self) -> str:
        """The module of ``peers`` that runs it."""
        return self.contestant.partition(":")[0]

    @property
    def variant(self) -> str:
        """What the module is asked for."""
        return self.contestant.partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a contestant returns: prompts, and the score that it says they have."""

    prompts: Prompts
    score: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job, measured by the task and not by the contestant.

    Attributes:
        ratio: Share of the possible gain.
        optimism: Reported minus true score.
        calls: Answers that were asked for.
        is_baseline: The seed prompt came back.
    """

    job: Job
    ratio: float
    true_score: float
    optimism: float
    calls: int
    reflections: int
    is_baseline: bool
    seconds: float
    cpu_seconds: float

    @property
    def overshoot(self) -> int:
        """Calls beyond the budget."""
        return max(0, self.calls - self.job.budget)

    def to_json(self) -> dict[str, object]:
        """Return it as plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Outcome:
        """Read what ``to_json`` wrote."""
        return cls(**{**value, "job": Job(**value["job"])})  # type: ignore[arg-type]


Contestant = Callable[[Job, World], Claim]
"""What a module of ``peers`` offers under the name ``run``."""


def run_job(job: Job, contestant: Contestant) -> Outcome:
    """Run a contestant on a fresh world and measure what it returns."""
    task = make_world(job.task, seed=job.seed)
    wall, cpu = time.perf_counter(), time.process_time()
    claim = contestant(job, task)
    true_score = task.true_score(claim.prompts)
    return Outcome(
        job=job,
        ratio=task.ratio(claim.prompts),
        true_score=true_score,
        optimism=claim.score - true_score,
        calls=task.meter.answers,
        reflections=task.meter.reflections,
        is_baseline=task.is_seed(claim.prompts),
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
    )
