r"""Compares optimizers on simulated tasks.

    python -m benchmarks.optimizers compare --optimizers ours:gepa,gepa:pareto --tasks all \
        --budgets 300,600,1200 --seeds 20 --jobs 2 --peer-python gepa=PATH --json OUT
    python -m benchmarks.optimizers walltime --optimizers ours:gepa,gepa:pareto --workers 32
    python -m benchmarks.optimizers null --optimizers ours:gepa --seeds 200

Peers run in environments of their own (README.md says how to make them).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

from benchmarks.machine import description, save
from benchmarks.optimizers.contest import Job, Outcome
from benchmarks.optimizers.pool import ContestantError, run_jobs
from benchmarks.optimizers.report import comparison, mean_and_error, summary
from benchmarks.optimizers.simulation.catalogue import EIGHT
from benchmarks.optimizers.simulation.world import NAMES


def main(arguments: list[str] | None = None) -> int:
    """Run one of the three comparisons; return the exit code."""
    options = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], list[Outcome]]] = {
        "compare": _compare,
        "walltime": _walltime,
        "null": _null,
    }
    try:
        outcomes = commands[options.command](options)
    except ContestantError as error:
        print(error, file=sys.stderr)
        return 1
    save(
        options.json,
        {
            **description("opik-eval"),
            "summary": summary(outcomes),
            "outcomes": [outcome.to_json() for outcome in outcomes],
        },
    )
    return 0


def _compare(options: argparse.Namespace) -> list[Outcome]:
    """Print ratio of the optimum, optimism and overshoot."""
    names = EIGHT if options.tasks == ["all"] else options.tasks
    jobs = [
        Job(contestant=contestant, task=task, budget=budget, seed=seed)
        for contestant, task, budget, seed in product(
            options.optimizers, names, map(int, options.budgets), _seeds(options)
        )
    ]
    outcomes = _run(jobs, options)
    print(comparison(outcomes))
    return outcomes


def _walltime(options: argparse.Namespace) -> list[Outcome]:
    """Print how long a run takes when models take their time."""
    jobs = [
        Job(
            contestant=contestant,
            task=task,
            budget=budget,
            seed=seed,
            workers=options.workers,
            answer_seconds=options.answer_ms / 1000,
            reflection_seconds=options.reflection_ms / 1000,
        )
        for contestant, task, budget, seed in product(
            options.optimizers, options.tasks, map(int, options.budgets), _seeds(options)
        )
    ]
    options.jobs = 1  # runs beside each other would share the processor and slow each other
    outcomes = _run(jobs, options)
    print("| contestant | task | B | workers | seconds | calls | reflections | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for contestant in options.optimizers:
        group = [outcome for outcome in outcomes if outcome.job.contestant == contestant]
        seconds, error = mean_and_error([outcome.seconds for outcome in group])
        print(
            f"| {contestant} | {','.join(options.tasks)} | {','.join(options.budgets)} "
            f"| {options.workers} | {seconds:.2f} ±{error:.2f} "
            f"| {statistics.fmean(outcome.calls for outcome in group):.0f} "
            f"| {statistics.fmean(outcome.reflections for outcome in group):.0f} "
            f"| {statistics.fmean(outcome.ratio for outcome in group):.2f} |"
        )
    return outcomes


def _null(options: argparse.Namespace) -> list[Outcome]:
    """Print how often the seed prompt comes back where no prompt helps."""
    jobs = [
        Job(contestant=contestant, task="null", budget=budget, seed=seed)
        for contestant, budget, seed in product(
            options.optimizers, map(int, options.budgets), _seeds(options)
        )
    ]
    outcomes = _run(jobs, options)
    print("| contestant | B | seeds | baseline returned | optimism |\n|---|---|---|---|---|")
    for row in summary(outcomes):
        print(
            f"| {row['contestant']} | {row['budget']} | {row['seeds']} "
            f"| {row['is_baseline']:.1%} | {row['optimism']:+.3f} |"
        )
    return outcomes


def _run(jobs: list[Job], options: argparse.Namespace) -> list[Outcome]:
    done = 0

    def show(_: Outcome) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(f"\r{done}/{len(jobs)}", end="", file=sys.stderr)

    pythons = dict(pair.split("=", 1) for pair in options.peer_python)
    return run_jobs(jobs, pythons=pythons, processes=options.jobs, on_outcome=show)


def _seeds(options: argparse.Namespace) -> range:
    return range(options.first_seed, options.first_seed + options.seeds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    compare = _command(commands, "compare", budgets="300,600,1200", seeds=20)
    compare.add_argument("--tasks", type=_names, default=["all"], help=f"of {', '.join(NAMES)}")
    walltime = _command(commands, "walltime", budgets="600", seeds=5)
    walltime.add_argument("--tasks", type=_names, default=["rules"])
    walltime.add_argument("--workers", type=int, default=32)
    walltime.add_argument("--answer-ms", type=float, default=20)
    walltime.add_argument("--reflection-ms", type=float, default=80)
    _command(commands, "null", budgets="600", seeds=200)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    budgets: str,
    seeds: int,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name)
    command.add_argument("--optimizers", type=_names, default=["ours:gepa"])
    command.add_argument("--budgets", type=_names, default=_names(budgets))
    command.add_argument("--seeds", type=int, default=seeds, help="how many")
    command.add_argument("--first-seed", type=int, default=0)
    command.add_argument("--jobs", type=int, default=1, help="processes at once")
    command.add_argument("--peer-python", action="append", default=[], metavar="PROGRAM=PATH")
    command.add_argument("--json", type=Path, help="where to write all outcomes")
    return command


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
