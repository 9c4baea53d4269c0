"""Running what a run file says."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import cast

import click

from opik_eval.cli.exits import DONE, code_for
from opik_eval.cli.output import command_line, result_as_dict, show_json
from opik_eval.cli.run_file import RunFile
from opik_eval.cli.yaml_lines import Origin
from opik_eval.datasets.dataset import Dataset, from_items
from opik_eval.errors import ConfigError, OpikEvalError
from opik_eval.evaluation import evaluate, evaluate_prompt
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.experiments.result import EvaluationResult
from opik_eval.metrics import BaseMetric, get_metric
from opik_eval.models import Budget, get_model
from opik_eval.storage.base import Storage


def execute(
    run: RunFile,
    *,
    storage: Storage,
    resume: bool | str | None = None,
    dataset: object = None,
    as_json: bool = False,
) -> EvaluationResult:
    """Run what a run file says; its content is kept with the experiment, for ``resume``.

    Args:
        run: The run file.
        storage: Where the results go.
        resume: The experiment to go on with; ``True`` = the last one of the same name.
        dataset: Takes the place of the one that the file names.
        as_json: Keep standard output free for JSON: what tasks print goes to standard error.

    Raises:
        ConfigError: The file names something that is not there; the text says where.
    """
    options = _options(run)
    options["storage"] = storage
    options["verbose"] = 0 if as_json else 1
    if resume is not None:
        options["resume"] = resume
    source = (
        load_dataset(run.dataset, storage, run.origin, "dataset") if dataset is None else dataset
    )
    with working_directory_importable(), standard_output_kept(as_json):
        metrics = [
            load_metric(entry, run.origin, "metrics", index)
            for index, entry in enumerate(run.metrics)
        ]
        try:
            return _evaluate(run, source, metrics, options)
        except KeyboardInterrupt:
            again = (
                ("resume", resume)
                if isinstance(resume, str)
                else ("run", run.origin.name, "--resume")
            )
            click.echo(f"go on with: {command_line(*again)}", err=True)
            raise


def conclude(result: EvaluationResult, *, as_json: bool) -> int:
    """Print a run's figures if JSON was asked for, and return the exit code."""
    if as_json:
        show_json(result_as_dict(result))
    code = code_for(result)
    if code != DONE:
        show, resume = (command_line(w, result.experiment_id) for w in ("show", "resume"))
        click.echo(f"incomplete; what failed: {show}\ngo on with: {resume}", err=True)
    return code


def _evaluate(
    run: RunFile, dataset: object, metrics: list[BaseMetric], options: EvaluateOptions
) -> EvaluationResult:
    if run.task is not None:
        return evaluate(dataset, _task(run, run.task), metrics, **options)
    with located(run.origin, "model"):
        model = get_model(run.model, api_base=run.api_base)
    return evaluate_prompt(
        dataset,
        run.prompt or "",
        model,
        metrics,
        model_parameters=run.model_parameters,
        template_type=run.template_type,
        **options,
    )


def _options(run: RunFile) -> EvaluateOptions:
    options = cast("EvaluateOptions", run.options.model_dump(exclude_none=True))
    options["experiment_name"] = run.name
    options["experiment_config"] = {"run_file": run.model_dump(mode="json", exclude_defaults=True)}
    options["scoring_key_mapping"] = dict(run.key_mapping)
    if run.budget is not None:
        options["budget"] = Budget(**run.budget.model_dump())
    return options


def demo_dataset(split: str, storage: Storage) -> Dataset:
    """Return a split of the bundled data set as a dataset of a store.

    Raises:
        DatasetError: There is no such split.
    """
    from opik_eval.datasets.demo import Split, load_demo

    items = load_demo(cast("Split", split))
    return from_items(items, storage=storage, name=f"shop-messages-{split}")


def load_dataset(name: str, storage: Storage, origin: Origin, *path: str | int) -> object:
    """Return the data that a file names: a bundled split, a path from its folder, or the name.

    Args:
        name: What the file says.
        storage: Where a bundled split is kept.
        origin: The file.
        path: Where in it.

    Raises:
        ConfigError: There is no such split; the text says where.
    """
    if name.startswith("demo:"):
        with located(origin, *path):
            return demo_dataset(name.removeprefix("demo:"), storage)
    beside = Path(origin.name).parent / Path(name).expanduser()
    return str(beside) if beside.is_file() else name


def load_metric(
    entry: str | Mapping[str, Mapping[str, object] | None], origin: Origin, *path: str | int
) -> BaseMetric:
    """Return the metric that an entry of a file names: a name, or a name with its arguments.

    Raises:
        ConfigError: There is no such metric; the text says where.
    """
    named: Mapping[str, Mapping[str, object] | None] = (
        {entry: None} if isinstance(entry, str) else entry
    )
    if len(named) != 1:
        raise ConfigError(
            f"{origin.at(*path)}: names {len(named)} metrics in one entry",
            remedy="write one list entry for each metric",
        )
    ((name, arguments),) = named.items()
    with located(origin, *path):
        return get_metric(name, **(arguments or {}))


def _task(run: RunFile, path: str) -> Callable[..., object]:
    module, _, name = path.partition(":")
    try:
        if not module or not name:
            raise ImportError("it has no 'module:function' form")
        found: object = reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:  # importing runs the user's code
        reason = (
            str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        )
        raise ConfigError(
            f"{run.origin.at('task')}: cannot load {path!r}: {reason}",
            remedy="write package.module:function, importable from the working directory",
        ) from error
    return cast("Callable[..., object]", found)


@contextlib.contextmanager
def located(origin: Origin, *path: str | int) -> Iterator[None]:
    """Say in errors which place of a file they come from."""
    try:
        yield
    except OpikEvalError as error:
        raise ConfigError(f"{origin.at(*path)}: {error.message}", remedy=error.remedy) from (error)


@contextlib.contextmanager
def working_directory_importable() -> Iterator[None]:
    """Let modules of the working directory be imported."""
    folder = str(Path.cwd())
    if folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the task may have removed it
            sys.path.remove(folder)


def standard_output_kept(as_json: bool) -> contextlib.AbstractContextManager[object]:
    """Keep standard output free for JSON: what others print goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
