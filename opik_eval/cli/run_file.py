"""Run files: an evaluation written down as YAML."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from opik_eval.errors import ConfigError
from opik_eval.evaluation import evaluate, evaluate_prompt
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.experiments.result import EvaluationResult
from opik_eval.metrics import BaseMetric, get_metric
from opik_eval.models import Budget
from opik_eval.records import TemplateType
from opik_eval.storage.base import Storage


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetPart(_Part):
    """Hard limits of a run."""

    max_requests: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_cost_usd: float | None = Field(default=None, gt=0)
    max_seconds: float | None = Field(default=None, gt=0)


class RunFile(_Part):
    """One evaluation. Either ``prompt`` and ``model``, or ``task``.

    Attributes:
        name: Name of the experiment.
        dataset: ``demo:test`` (also ``train``, ``validation``), a path, ``hf:NAME:SPLIT`` or the
            name of a stored dataset.
        prompt: Text of a user message, or chat messages.
        model: Name of a model.
        model_parameters: Sampling parameters.
        task: ``package.module:function``, looked up from the working directory too.
        metrics: Names, or mappings from a name to its arguments.
        key_mapping: Metric argument -> key of item or output.
        options: Options of ``evaluate``, such as ``task_threads`` or ``trial_count``.
    """

    name: str
    dataset: str
    prompt: str | list[dict[str, object]] | None = None
    template_type: TemplateType = "mustache"
    model: str | None = None
    model_parameters: dict[str, object] = Field(default_factory=dict)
    task: str | None = None
    metrics: list[str | dict[str, dict[str, object]]] = Field(default_factory=list)
    key_mapping: dict[str, str] = Field(default_factory=dict)
    budget: BudgetPart | None = None
    options: dict[str, object] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_thing_to_run(self) -> RunFile:
        if (self.prompt is None) == (self.task is None):
            raise ValueError("give either 'prompt' (with 'model') or 'task'")
        return self


def read_run_file(path: Path) -> RunFile:
    """Read a run file.

    Raises:
        ConfigError: It is missing, no YAML, or says something unknown; the text says where.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a mapping", remedy="see configs/ for examples")
    return parse_run(content, str(path))


def parse_run(content: Mapping[str, object], where: str) -> RunFile:
    """Check the content of a run file.

    Raises:
        ConfigError: Something is unknown, missing or of the wrong type.
    """
    try:
        return RunFile.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(
            f"{where}: {problems}",
            remedy=f"known keys are {', '.join(RunFile.model_fields)}",
        ) from error


def execute(
    run: RunFile, *, storage: Storage | str | None, resume: bool | str | None, verbose: int
) -> EvaluationResult:
    """Run what a run file says; the file is kept with the experiment, for ``resume``."""
    options = cast("EvaluateOptions", dict(run.options))
    options.update(
        experiment_name=run.name,
        experiment_config={"run_file": run.model_dump(mode="json", exclude_defaults=True)},
        scoring_key_mapping=dict(run.key_mapping),
        verbose=verbose,
    )
    if storage is not None:
        options["storage"] = storage
    if resume is not None:
        options["resume"] = resume
    if run.budget is not None:
        options["budget"] = Budget(**run.budget.model_dump())
    metrics = [_metric(entry) for entry in run.metrics]
    dataset = _dataset(run.dataset)
    if run.task is not None:
        return evaluate(dataset, _task(run.task), metrics, **options)
    return evaluate_prompt(
        dataset,
        run.prompt or "",
        run.model,
        metrics,
        model_parameters=run.model_parameters,
        template_type=run.template_type,
        **options,
    )


def _dataset(name: str) -> object:
    if not name.startswith("demo:"):
        return name
    from opik_eval.datasets.demo import load_demo

    return load_demo(name.removeprefix("demo:"))


def _metric(entry: str | Mapping[str, Mapping[str, object]]) -> BaseMetric:
    if isinstance(entry, str):
        return get_metric(entry)
    if len(entry) != 1:
        raise ConfigError(
            f"metrics: {dict(entry)} names {len(entry)} metrics in one entry",
            remedy="write one list entry for each metric",
        )
    ((name, arguments),) = entry.items()
    return get_metric(name, **arguments)


def _task(path: str) -> Callable[..., object]:
    module, _, name = path.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: object = importlib.import_module(module)
        for part in _parts(name, path):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"task: cannot load {path!r}: {error}",
            remedy="write package.module:function, importable from the working directory",
        ) from error
    return cast("Callable[..., object]", found)


def _parts(name: str, path: str) -> Sequence[str]:
    if not name:
        raise ConfigError(f"task: {path!r} names no function", remedy="write module:function")
    return name.split(".")
