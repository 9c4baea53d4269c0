"""What an evaluation says on the terminal."""

from __future__ import annotations

import logging
import shutil
import sys
from typing import cast

from opik_eval.errors import StorageError
from opik_eval.evaluation.job import Job, stored_items
from opik_eval.experiments.render import result_text
from opik_eval.experiments.result import EvaluationResult
from opik_eval.experiments.table import Table, number, shorten
from opik_eval.records import Experiment

logger = logging.getLogger("opik_eval.evaluation")

_WIDEST = 120


def show(job: Job, result: EvaluationResult) -> None:
    """Print the result, as ``verbose`` asks and as standard output can take it."""
    verbose, out = job.options["verbose"], sys.stdout
    if not verbose or out is None:  # programs without a console have no standard output
        return
    width = min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)
    ascii_only = not (out.encoding or "ascii").lower().startswith("utf")
    text = result_text(result, width=width, ascii_only=ascii_only)
    if verbose > 1:
        text += "\n\n" + statistics_table(result).as_text(width=width, ascii_only=ascii_only)
    out.write(text + "\n")


def statistics_table(result: EvaluationResult) -> Table:
    """Return the spread of every score."""
    table = Table(("score", "n", "mean", "std", "min", "max"), left=frozenset({"score"}))
    for name, part in result.aggregate_evaluation_scores().aggregated_scores.items():
        figures = (part.mean, part.std, part.min, part.max)
        table.rows.append((shorten(name, 60), str(part.n), *map(number, figures)))
    return table


def say_how_to_resume(job: Job) -> None:
    """Log how to go on after an interruption."""
    if job.experiment is None or job.task is None:
        return
    try:
        logger.warning("%s", how_to_resume(job))
    except StorageError as error:
        logger.warning("interrupted; what is stored cannot be counted: %s", error)


def how_to_resume(job: Job) -> str:
    """Return the sentence that tells how to go on after an interruption."""
    experiment = cast("Experiment", job.experiment)
    done = len(stored_items(job.storage, experiment.id))
    total = job.selection.count * job.options["trial_count"]
    return (
        f"interrupted: {done} of {total} results of experiment {experiment.name!r} are stored in "
        f"{job.storage.location}; the same call with resume={experiment.id!r} goes on"
    )
