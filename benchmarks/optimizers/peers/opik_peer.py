"""opik_optimizer (PyPI), without a server: its own algorithms on the simulated model.

Variants: ``evolutionary``, ``meta_prompt``, ``hierarchical``, ``few_shot``, ``gepa`` and
``parameter``. Options of the constructor may follow: ``evolutionary+population_size=5``. The
library counts trials, not metric calls; a budget of B calls is given to it as (B - V) / V trials,
where V is the number of validation items.

What is replaced is what needs a server or a model: the client, the storage of data sets, the loop
that scores one, and the call of a model. What the model is asked is what the library asks; replies
have the form that it asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import MagicMock, patch

from benchmarks.optimizers.contest import Claim, Job
from benchmarks.optimizers.simulation.demonstrations import DemonstrationTask
from benchmarks.optimizers.simulation.replies import Writer
from benchmarks.optimizers.simulation.surface import SPACE, ParameterTask, as_prompts
from benchmarks.optimizers.simulation.task import Prompts, Record, SimulatedTask
from benchmarks.optimizers.simulation.world import World

os.environ |= {
    "OPIK_TRACK_DISABLE": "true",
    "OPIK_OPTIMIZER_NO_BANNER": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

import opik  # type: ignore[import-not-found]
from opik.evaluation import evaluation_result, test_case, test_result  # type: ignore[import-not-found]
from opik.evaluation.metrics import score_result  # type: ignore[import-not-found]

import opik_optimizer

_CLASSES = {
    "evolutionary": "EvolutionaryOptimizer",
    "meta_prompt": "MetaPromptOptimizer",
    "hierarchical": "HierarchicalReflectiveOptimizer",
    "few_shot": "FewShotBayesianOptimizer",
    "gepa": "GepaOptimizer",
    "parameter": "ParameterOptimizer",
}
_LONE_WORD = re.compile(r"(?:synonym for the word|Modify this phrase[^:]*:) '([^']*)'")
_NUMBER = re.compile(r"generate (\d+) diverse", re.IGNORECASE)
_USER = "{question}"


def run(job: Job, task: World) -> Claim:
    """Run one of its optimizers with its defaults, but for what the variant says."""
    logging.disable(logging.ERROR)
    model = str(task.seed_call["model"]) if isinstance(task, ParameterTask) else "sim/answer"
    variant, *pairs = job.variant.split("+")
    options = {name: json.loads(value) for name, value in (pair.split("=") for pair in pairs)}
    optimizer = getattr(opik_optimizer, _CLASSES[variant])(
        # It searches the parameters of its own model: the prompt's is replaced by it.
        **{
            "model": model if variant == "parameter" else "sim/reflection",
            "verbose": 0,
            "seed": job.seed,
            "perfect_score": 1.0,
        }
        | {"n_threads": job.workers or 1}
        | options
    )

    def correct(dataset_item: Record, llm_output: str) -> Any:
        score, reason = task.metric(dataset_item, llm_output)
        return score_result.ScoreResult(name="correct", value=score, reason=reason)

    call = dict(task.seed_call) if isinstance(task, ParameterTask) else {}
    call.pop("model", None)
    prompts = {
        name: opik_optimizer.ChatPrompt(
            name=name, system=text, user=_USER, model=model, model_parameters=call
        )
        for name, text in task.seed_prompts.items()
    }
    validation = len(task.validation)
    given: dict[str, Any] = {
        "prompt": prompts if len(prompts) > 1 else next(iter(prompts.values())),
        "dataset": _Dataset("train", task.train),
        "validation_dataset": _Dataset("validation", task.validation),
        "metric": correct,
        "agent": _Agent(job, task),
        "max_trials": max(1, (job.budget - validation) // validation),
    }
    with _without_server(job, task):
        if variant == "parameter":
            found = optimizer.optimize_parameter(parameter_space=SPACE, **given)
        else:
            found = optimizer.optimize_prompt(**given)
    returned = (
        found.prompt if isinstance(found.prompt, dict) else {next(iter(prompts)): found.prompt}
    )
    return Claim(prompts=_read(task, returned), score=float(found.score))


def _read(task: World, prompts: dict[str, Any]) -> Prompts:
    """Return of prompts what the task reads: their texts, or the parameters of the call."""
    if isinstance(task, ParameterTask):
        (prompt,) = prompts.values()
        return as_prompts({"model": prompt.model, **(prompt.model_kwargs or {})})
    texts = {name: _text(prompt.get_messages()) for name, prompt in prompts.items()}
    names = task.seed_prompts
    return texts if set(texts) == set(names) else dict(zip(names, texts.values(), strict=True))


class _Dataset(opik.Dataset):  # type: ignore[misc]
    """Items in memory."""

    def __init__(self, name: str, items: Sequence[Record]) -> None:
        self._shown = name
        self._records = [dict(item) for item in items]

    name = property(lambda self: self._shown)
    id = property(lambda self: self._shown)

    def get_items(self, nb_samples: int | None = None) -> list[Record]:
        return [dict(record) for record in self._records[:nb_samples]]


class _Agent(opik_optimizer.OptimizableAgent):
    """Hands the prompts to the task."""

    def __init__(self, job: Job, task: World) -> None:
        self._job = job
        self._task = task

    def invoke_agent(
        self,
        prompts: dict[str, Any],
        dataset_item: Record,
        allow_tool_use: bool = False,  # noqa: ARG002 - opik passes it by name
        seed: int | None = None,  # noqa: ARG002 - likewise
    ) -> str:
        if self._job.answer_seconds:
            time.sleep(self._job.answer_seconds)
        record = next(r for r in self._records if r["id"] == dataset_item["id"])
        return self._task.answer(_read(self._task, prompts), record)

    @property
    def _records(self) -> list[Record]:
        return [*self._task.train, *self._task.validation]


class _Reflection:
    """The model behind ``call_model``: text, or an instance of the class that is asked for."""

    def __init__(self, job: Job, task: World) -> None:
        self._seconds = job.reflection_seconds
        self._task = task

    def __call__(self, messages: Any, *_: Any, response_model: Any = None, **__: Any) -> Any:
        if self._seconds:
            time.sleep(self._seconds)
        return self._reply("\n".join(str(m["content"]) for m in messages), response_model)

    async def later(self, messages: Any, *_: Any, response_model: Any = None, **__: Any) -> Any:
        await asyncio.sleep(self._seconds)
        return self._reply("\n".join(str(m["content"]) for m in messages), response_model)

    def _reply(self, text: str, response_model: Any) -> Any:
        if isinstance(self._task, DemonstrationTask):
            return response_model.model_validate(_with_place_for_demonstrations(self._task))
        assert isinstance(self._task, SimulatedTask)
        task = self._task

        def prompt() -> str:
            return task.reflect(text)

        if response_model is not None:
            ids = tuple(item["id"] for item in task.train if item["id"] in text)
            writer = Writer(
                text=text, prompt=prompt, analysis=lambda: task.analyse(text), item_ids=ids
            )
            filled = writer.fill(response_model.model_json_schema())
            return response_model.model_validate(self._whole(filled, prompt))
        if lone := _LONE_WORD.search(text):
            return lone[1]
        asked = _NUMBER.search(text)
        if asked is None:
            return f"```\n{prompt()}\n```"
        made = [_messages(prompt()) for _ in range(int(asked[1]))]
        if '"prompts"' in text:
            return json.dumps({"prompts": [{"prompt": m, "strategy": "other"} for m in made]})
        return json.dumps(made)

    def _whole(self, value: Any, prompt: Callable[[], str]) -> Any:
        """Let each list of messages be a whole prompt, and a bundle have all of its prompts."""
        if isinstance(value, dict):
            return {name: self._whole(part, prompt) for name, part in value.items()}
        if not isinstance(value, list) or not value:
            return value
        if all(_has(part, "role", "content") for part in value):
            return _messages(value[0]["content"])
        if all(_has(part, "name", "messages") for part in value):
            names = self._task.seed_prompts
            return [{**value[0], "name": n, "messages": _messages(prompt())} for n in names]
        return [self._whole(part, prompt) for part in value]


def _run_evaluator(
    *,
    dataset: _Dataset,
    evaluated_task: Callable[[Record], dict[str, Any]],
    dataset_item_ids: Sequence[str] | None,
    scoring_metrics: Sequence[Any],
    **_: object,
) -> Any:
    """Do what ``opik.evaluate_optimization_trial`` does, without storing it."""
    results = []
    for item in dataset.get_items():
        if dataset_item_ids is not None and item["id"] not in dataset_item_ids:
            continue
        output = evaluated_task(item)
        case = test_case.TestCase(
            trace_id="", dataset_item_id=item["id"], task_output=output, dataset_item_content=item
        )
        scores = [metric.score(**{**item, **output}) for metric in scoring_metrics]
        results.append(test_result.TestResult(test_case=case, score_results=scores, trial_id=0))
    return evaluation_result.EvaluationResult(
        experiment_id="",
        dataset_id=dataset.id,
        experiment_name=None,
        test_results=results,
        experiment_url=None,
        trial_count=1,
    )


@contextlib.contextmanager
def _without_server(job: Job, task: World) -> Iterator[None]:
    reflection = _Reflection(job, task)
    core = "opik_optimizer.core"
    client = MagicMock()
    client.create_optimization.return_value.id = "0"
    with (
        patch(f"{core}.runtime.get_opik_client", lambda _: client),
        patch(f"{core}.evaluation._run_evaluator", _run_evaluator),
        patch(f"{core}.llm_calls.call_model", reflection),
        patch(f"{core}.llm_calls.call_model_async", reflection.later),
    ):
        yield


def _with_place_for_demonstrations(task: DemonstrationTask) -> dict[str, Any]:
    """Return what a good model replies when it is asked where demonstrations go, and how."""
    ((name, text),) = task.seed_prompts.items()
    system = f"{text}\n\nExamples:\nFEW_SHOT_EXAMPLE_PLACEHOLDER"
    return {name: _messages(system), "template": "{question}\nAnswer: {answer}"}


def _messages(system: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": _USER}]


def _has(value: object, *names: str) -> bool:
    return isinstance(value, dict) and all(name in value for name in names)


def _text(messages: Sequence[dict[str, Any]]) -> str:
    """Return all of a prompt but the question, as the simulated model reads it."""
    whole = "\n".join(str(message.get("content") or "") for message in messages)
    return whole.removesuffix(_USER).strip()
