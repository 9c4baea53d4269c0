"""``opik_optimizer`` of this repository, through its public API alone.

Variants: ``gepa``, ``meta_prompt``, ``evolutionary``, ``few_shot``, ``hierarchical``,
``parameter``. Options may follow, as in ``gepa+racing=false+proposals_in_flight=4``: those that
``optimize_prompt`` knows go there, all others to the optimizer's constructor.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

import opik_optimizer
from benchmarks.optimizers.contest import Claim, Job
from benchmarks.optimizers.simulation.model import simulated_model
from benchmarks.optimizers.simulation.task import SimulatedTask
from opik_eval import open_storage
from opik_eval.metrics import ScoreResult
from opik_optimizer import Budget, ChatPrompt
from opik_optimizer.settings import OptimizeOptions

_CLASSES = {
    "gepa": "GepaOptimizer",
    "meta_prompt": "MetaPromptOptimizer",
    "evolutionary": "EvolutionaryOptimizer",
    "few_shot": "FewShotBayesianOptimizer",
    "hierarchical": "HierarchicalReflectiveOptimizer",
    "parameter": "ParameterOptimizer",
}


def run(job: Job, task: SimulatedTask) -> Claim:
    """Run one optimizer with its defaults, but for what the variant says."""
    variant, *options = job.variant.split("+")
    here, there = _options(options)
    model = simulated_model(
        task, answer_seconds=job.answer_seconds, reflection_seconds=job.reflection_seconds
    )
    if job.workers:
        there.setdefault("n_threads", job.workers)
    optimizer = getattr(opik_optimizer, _CLASSES[variant])(
        **{"model": model, "verbose": 0, "seed": job.seed, "perfect_score": 1.0, **there}
    )

    def correct(dataset_item: dict[str, object], llm_output: str) -> ScoreResult:
        score, reason = task.metric(dataset_item, llm_output)
        return ScoreResult(name="correct", value=score, reason=reason)

    prompts = {
        name: ChatPrompt(name=name, system=text, user="{question}", model=model)
        for name, text in task.seed_prompts.items()
    }
    is_bundle = len(prompts) > 1
    with closing(open_storage("memory:")) as storage:
        found = optimizer.optimize_prompt(
            prompts if is_bundle else next(iter(prompts.values())),
            task.train,
            correct,
            **{
                "validation_dataset": task.validation,
                "budget": Budget(metric_calls=job.budget),
                "storage": storage,
                **({"agent": _pipeline(job, task)} if is_bundle else {}),
                **here,
            },
        )
    returned = found.prompt if is_bundle else {next(iter(prompts)): found.prompt}
    return Claim(
        prompts={name: _text(prompt) for name, prompt in returned.items()},
        score=found.estimate.mean,
    )


def _pipeline(job: Job, task: SimulatedTask) -> Any:
    """Return an agent that hands all prompts of a bundle to the task."""

    async def pipeline(prompts: dict[str, ChatPrompt], dataset_item: dict[str, object]) -> str:
        if job.answer_seconds:
            await asyncio.sleep(job.answer_seconds)
        texts = {name: _text(prompt) for name, prompt in prompts.items()}
        return task.answer(texts, dataset_item)

    return pipeline


def _text(prompt: ChatPrompt) -> str:
    """Return all of a prompt but the question, as the simulated model reads it."""
    texts = [str(message.get("content") or "") for message in prompt.messages]
    return "\n".join(texts).removesuffix("{question}").strip()


def _options(pairs: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    here: dict[str, Any] = {}
    there: dict[str, Any] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        (here if name in OptimizeOptions.__annotations__ else there)[name] = _value(value)
    return here, there


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
