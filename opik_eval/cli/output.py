"""What commands share: the store option, JSON output, width of the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from opik_eval.experiments.result import EvaluationResult
from opik_eval.experiments.totals import run_totals
from opik_eval.serialization import dumps, to_jsonable

P = ParamSpec("P")
T = TypeVar("T")

storage_option = click.option(
    "--storage",
    metavar="TARGET",
    help="Store to use, such as file:runs.db; default: what the settings say.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def common_options(function: Callable[P, T]) -> Callable[P, T]:
    """Add ``--storage`` and ``--json`` to a command."""
    return storage_option(json_option(function))


def show_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(dumps(value).decode())


def show_text(render: Callable[[int, bool], str]) -> None:
    """Print what ``render(width, ascii_only)`` gives for this terminal or pipe."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(render(min(width, 120), not encoding.startswith("utf")))


def result_as_dict(result: EvaluationResult) -> dict[str, object]:
    """Return the figures of a result as plain JSON types, without its items."""
    scores = result.aggregate_evaluation_scores().aggregated_scores
    return {
        "experiment_id": result.experiment_id,
        "experiment_name": result.experiment_name,
        "status": result.status,
        "stop_reason": result.stop_reason,
        "results": len(result.test_results),
        "reused": result.reused_items,
        "task_errors": result.task_errors,
        "seconds": result.total_seconds,
        "totals": to_jsonable(run_totals(result.test_results)),
        "scores": {name: _statistics(part) for name, part in scores.items()},
        "experiment_scores": {score.name: score.value for score in result.experiment_scores},
        "warnings": result.warnings,
        "storage": result.storage_location,
    }


def _statistics(statistics: object) -> dict[str, object]:
    fields = to_jsonable(statistics)
    assert isinstance(fields, dict)
    return {name: value for name, value in fields.items() if name != "values"}
