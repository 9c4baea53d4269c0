"""What commands share: the store option, JSON output, width of the terminal."""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from opik_eval.experiments.aggregate import ScoreStatistics
from opik_eval.experiments.result import EvaluationResult
from opik_eval.experiments.totals import run_totals
from opik_eval.serialization import dumps, to_jsonable
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

P = ParamSpec("P")
T = TypeVar("T")

PROGRAM = "opik-eval"
_WIDEST = 120

_storage_option = click.option(
    "--storage",
    metavar="TARGET",
    help="Store to use, such as file:runs.db; default: what the settings say.",
)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON instead of text."
)


def common_options(function: Callable[P, T]) -> Callable[P, T]:
    """Add ``--storage`` and ``--json`` to a command."""
    return _storage_option(_json_option(function))


def examples(*lines: str) -> str:
    """Return the end of a command's help; a backspace keeps click from filling lines."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *lines])


def command_line(*words: str) -> str:
    """Return a command to suggest; it uses the store that the current command was told to use."""
    storage = click.get_current_context().params.get("storage")
    option = () if storage is None else ("--storage", str(storage))
    return shlex.join([_program(), *words, *option])


def _program() -> str:
    """Return how the user can call this program: by its path, if no search path leads to it."""
    started = Path(sys.argv[0])
    if started.name != PROGRAM or shutil.which(PROGRAM):
        return PROGRAM
    started = started.absolute()
    here = Path.cwd()
    return str(started.relative_to(here) if started.is_relative_to(here) else started)


@contextmanager
def open_store(target: str | None, *, create: bool = True) -> Iterator[Storage]:
    """Open a store for the length of a command; commands that only read make none."""
    storage = open_storage(target, create=create)
    try:
        yield storage
    finally:
        storage.close()


def show_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(dumps(value).decode("utf-8", "surrogatepass"))


def show_text(render: Callable[[int, bool], str]) -> None:
    """Print what ``render(width, ascii_only)`` gives for this terminal or pipe."""
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(render(min(width, _WIDEST), not can_draw()))


def can_draw() -> bool:
    """Tell whether standard output takes more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().startswith("utf")


def result_as_dict(result: EvaluationResult) -> dict[str, object]:
    """Return the figures of a result as plain JSON types, without its items."""
    scores = result.aggregate_evaluation_scores().aggregated_scores
    return {
        "experiment_id": result.experiment_id,
        "experiment_name": result.experiment_name,
        "status": result.status,
        "stop_reason": result.stop_reason,
        "results": len(result.test_results),
        "reused_items": result.reused_items,
        "task_errors": result.task_errors,
        "total_seconds": result.total_seconds,
        "totals": to_jsonable(run_totals(result.test_results)),
        "scores": {name: _statistics(part) for name, part in scores.items()},
        "experiment_scores": {score.name: score.value for score in result.experiment_scores},
        "warnings": result.warnings,
        "pending": result.flush.pending if result.flush else 0,
        "rejected": result.flush.rejected if result.flush else (),
        "storage": result.storage_location,
    }


def _statistics(statistics: ScoreStatistics) -> dict[str, object]:
    """Return one metric's figures; those that do not exist are null."""
    fields = to_jsonable(statistics)
    assert isinstance(fields, dict)
    del fields["values"]
    numbers = {"mean": statistics.mean, "max": statistics.max, "min": statistics.min}
    return fields | {k: v if math.isfinite(v) else None for k, v in numbers.items()}
