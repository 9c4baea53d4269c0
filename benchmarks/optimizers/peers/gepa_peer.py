"""gepa (PyPI), through its adapter interface: one pair of item and prompt at a time or in threads.

Variants: ``pareto`` (the default settings), ``current_best``, ``minibatch8`` (eight items
a reflection instead of three), ``pxn`` (two parents with two mutations each).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import gepa  # type: ignore[import-not-found]
from gepa.core.adapter import EvaluationBatch  # type: ignore[import-not-found]
from gepa.strategies.proposal_sampling import PxNSampling  # type: ignore[import-not-found]

from benchmarks.optimizers.contest import Claim, Job
from benchmarks.optimizers.simulation.task import Record, SimulatedTask

_VARIANTS: dict[str, dict[str, Any]] = {
    "pareto": {},
    "current_best": {"candidate_selection_strategy": "current_best"},
    "minibatch8": {"reflection_minibatch_size": 8},
    "pxn": {"sampling_strategy": PxNSampling(2, 2)},
}
Batch: TypeAlias = EvaluationBatch[tuple[Record, str, str], str]


def run(job: Job, task: SimulatedTask) -> Claim:
    """Run ``gepa.optimize`` with its own defaults."""
    found = gepa.optimize(
        seed_candidate=task.seed_prompts,
        trainset=task.train,
        valset=task.validation,
        adapter=_Threaded(job, task) if job.workers else _Adapter(job, task),
        reflection_lm=_Reflection(job, task),
        max_metric_calls=job.budget,
        logger=_Silence(),
        seed=job.seed,
        **_VARIANTS[job.variant or "pareto"],
    )
    return Claim(
        prompts=found.candidates[found.best_idx],
        score=found.val_aggregate_scores[found.best_idx],
    )


class _Adapter:
    propose_new_texts = None

    def __init__(self, job: Job, task: SimulatedTask) -> None:
        self._job = job
        self._task = task

    def evaluate(
        self,
        batch: list[Record],
        candidate: dict[str, str],
        capture_traces: bool = False,  # noqa: ARG002 - gepa passes it by name
    ) -> Batch:
        return self._batch([self._one((item, candidate)) for item in batch])

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],  # noqa: ARG002 - part of gepa's interface
        eval_batch: Batch,
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        records = [
            {"Inputs": item["question"], "Generated Outputs": output, "Feedback": reason}
            for item, output, reason in eval_batch.trajectories or ()
        ]
        return dict.fromkeys(components_to_update, records)

    def _one(self, pair: tuple[Record, dict[str, str]]) -> tuple[Record, str, float, str]:
        item, candidate = pair
        if self._job.answer_seconds:
            time.sleep(self._job.answer_seconds)
        output = self._task.answer(candidate, item)
        return (item, output, *self._task.metric(item, output))

    def _batch(self, results: Sequence[tuple[Record, str, float, str]]) -> Batch:
        return EvaluationBatch(
            outputs=[output for _, output, _, _ in results],
            scores=[score for _, _, score, _ in results],
            trajectories=[(item, output, reason) for item, output, _, reason in results],
        )


class _Threaded(_Adapter):
    """Answers in threads, also across the batches of one step."""

    def __init__(self, job: Job, task: SimulatedTask) -> None:
        super().__init__(job, task)
        self._threads = ThreadPoolExecutor(job.workers)

    def evaluate(
        self,
        batch: list[Record],
        candidate: dict[str, str],
        capture_traces: bool = False,  # noqa: ARG002 - gepa passes it by name
    ) -> Batch:
        return self.batch_evaluate([(candidate, batch)])[0]

    def batch_evaluate(self, items: list[tuple[dict[str, str], list[Record]]]) -> list[Batch]:
        pairs = [(item, candidate) for candidate, batch in items for item in batch]
        results = self._threads.map(self._one, pairs)
        return [self._batch([next(results) for _ in batch]) for _, batch in items]


class _Reflection:
    """The reflection model; several prompts of one step are answered at once."""

    def __init__(self, job: Job, task: SimulatedTask) -> None:
        self._seconds = job.reflection_seconds
        self._task = task

    def __call__(self, prompt: object) -> str:
        return self.batch_complete([prompt])[0]

    def batch_complete(self, prompts: Sequence[object]) -> list[str]:
        if self._seconds:
            time.sleep(self._seconds)
        return [f"```\n{self._task.reflect(_text(prompt))}\n```" for prompt in prompts]


class _Silence:
    def log(self, message: str) -> None:
        """Say nothing."""


def _text(prompt: object) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(str(message["content"]) for message in prompt)  # type: ignore[attr-defined]
