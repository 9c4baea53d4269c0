"""``opik_optimizer`` of this repository, through its public API alone.

Variants: ``gepa``, ``meta_prompt``, ``evolutionary``, ``few_shot``, ``hierarchical``,
``parameter``. Options may follow, as in ``gepa+racing=false+proposals_in_flight=4``: those that
``optimize_prompt`` knows go there, all others to the optimizer's constructor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import scipy.special  # noqa: F401 - as below

import opik_optimizer
import opik_optimizer.conduct  # loaded on first use otherwise, and timed; gepa's imports are not
from benchmarks.optimizers.contest import Claim, Job
from benchmarks.optimizers.simulation.model import simulated_model
from benchmarks.optimizers.simulation.surface import SPACE, ParameterTask, as_prompts
from benchmarks.optimizers.simulation.task import Prompts, SimulatedTask
from benchmarks.optimizers.simulation.world import World
from opik_eval import open_storage
from opik_eval.metrics import ScoreResult
from opik_optimizer import Budget, ChatPrompt
from opik_optimizer.settings import OptimizeOptions

_CLASSES = {
    "gepa": opik_optimizer.GepaOptimizer,
    "meta_prompt": opik_optimizer.MetaPromptOptimizer,
    "evolutionary": opik_optimizer.EvolutionaryOptimizer,
    "few_shot": opik_optimizer.FewShotBayesianOptimizer,
    "hierarchical": opik_optimizer.HierarchicalReflectiveOptimizer,
    "parameter": opik_optimizer.ParameterOptimizer,
}

_WORLD: dict[str, World] = {}
"""The task of the run. A metric that held all of it would not be like any that people write."""


def run(job: Job, task: World) -> Claim:
    """Run one optimizer with its defaults, but for what the variant says."""
    variant, *options = job.variant.split("+")
    here, there = _options(options)
    model = _model(job, task)
    if job.workers:
        there.setdefault("n_threads", job.workers)
    if isinstance(task, ParameterTask):
        there.setdefault("search_space", SPACE)
    optimizer = _CLASSES[variant](
        **{"model": model, "verbose": 0, "seed": job.seed, "perfect_score": 1.0, **there}
    )
    _WORLD["task"] = task
    prompts = _prompts(task, model)
    is_bundle = len(prompts) > 1
    with closing(open_storage("memory:")) as storage:
        found = optimizer.optimize_prompt(
            prompts if is_bundle else next(iter(prompts.values())),
            task.train,
            _correct,
            **{
                "validation_dataset": task.validation,
                "budget": Budget(metric_calls=job.budget),
                "storage": storage,
                **({"agent": _pipeline(job, task)} if is_bundle or model is None else {}),
                **here,
            },
        )
    returned = found.prompt if is_bundle else {next(iter(prompts)): found.prompt}
    return Claim(prompts=_read(task, returned), score=found.estimate.mean)


def _model(job: Job, task: World) -> Any:
    """Return the model of a task that has one; the others are answered by an agent."""
    if not isinstance(task, SimulatedTask):
        return None
    return simulated_model(
        task, answer_seconds=job.answer_seconds, reflection_seconds=job.reflection_seconds
    )


def _prompts(task: World, model: Any) -> dict[str, ChatPrompt]:
    call: dict[str, Any] = {"model": model}
    if isinstance(task, ParameterTask):
        parameters = dict(task.seed_call)
        call = {"model": parameters.pop("model"), "model_parameters": parameters}
    return {
        name: ChatPrompt(name=name, system=text, user="{question}", **call)
        for name, text in task.seed_prompts.items()
    }


def _read(task: World, prompts: Mapping[str, ChatPrompt]) -> Prompts:
    """Return of prompts what the task reads: their texts, or the parameters of the call."""
    if isinstance(task, ParameterTask):
        (prompt,) = prompts.values()
        return as_prompts({"model": prompt.model, **prompt.model_parameters})
    return {name: _text(prompt) for name, prompt in prompts.items()}


def _correct(dataset_item: dict[str, object], llm_output: str) -> ScoreResult:
    score, reason = _WORLD["task"].metric(dataset_item, llm_output)
    return ScoreResult(name="correct", value=score, reason=reason)


def _pipeline(job: Job, task: World) -> Any:
    """Return an agent that hands prompts to the task."""

    async def pipeline(prompts: dict[str, ChatPrompt], dataset_item: dict[str, object]) -> str:
        if job.answer_seconds:
            await asyncio.sleep(job.answer_seconds)
        return task.answer(_read(task, prompts), dataset_item)

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
