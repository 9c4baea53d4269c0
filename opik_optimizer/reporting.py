"""How a run and its result look: progress while it goes on, a report when it is done."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from opik_eval.experiments.table import Table, interval, number, shorten
from opik_optimizer.events import (
    BaselineEvaluated,
    BudgetUpdated,
    CandidateRejected,
    Event,
    IncumbentChanged,
    ItemEvaluated,
    RunFailed,
    RunFinished,
    RunStarted,
    SearchStopped,
    StageStarted,
    TrialRecorded,
    WarningRaised,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from opik_optimizer.result import OptimizationResult

_BARS = "▁▂▃▄▅▆▇█"
_REMOVED, _ADDED = "- ", "+ "


def result_text(result: OptimizationResult, *, width: int = 80) -> str:
    """Return a result for a terminal or a log: scores, tests, cost, and what changed.

    Args:
        result: What an optimizer returned.
        width: Characters per line.
    """
    lines = [
        f"{result.optimizer}: {_headline(result)}",
        "",
        _score_table(result).as_text(width=width),
        "",
        *_notes(result),
    ]
    if not result.is_baseline:
        lines += ["", "Changes:", *prompt_changes(result.initial_prompts, result.prompts)]
    return "\n".join(lines)


def print_result(result: OptimizationResult, *, file: TextIO | None = None) -> None:
    """Print a result, in colour where the terminal has it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, soft_wrap=True)
    for line in result_text(result, width=console.width).splitlines():
        style = {_REMOVED: "red", _ADDED: "green"}.get(line[:2], "")
        console.print(Text(line, style=style))


def prompt_changes(
    before: Mapping[str, Mapping[str, object]], after: Mapping[str, Mapping[str, object]]
) -> list[str]:
    """Return the changed lines of prompts in the form of a diff, whole texts of short prompts.

    Example:
        >>> prompt_changes(
        ...     {"p": {"messages": [{"role": "system", "content": "Be brief."}]}},
        ...     {"p": {"messages": [{"role": "system", "content": "Be exact."}]}},
        ... )
        ['  [system]', '- Be brief.', '+ Be exact.']
    """
    lines: list[str] = []
    for name, prompt in after.items():
        old, new = _prompt_lines(before.get(name, {})), _prompt_lines(prompt)
        if old == new:
            continue
        if len(after) > 1:
            lines.append(f"  {name}")
        lines += [line for line in difflib.ndiff(old, new) if not line.startswith("? ")]
    return lines


def score_curve(result: OptimizationResult) -> str:
    """Return the best score so far over the trials, as a line of bars; empty without a change."""
    best = result.initial_score
    curve = [best]
    for trial in result.trials:
        if trial.decision == "accepted" and trial.score is not None:
            best = max(best, trial.score)
        curve.append(best)
    low, high = min(curve), max(curve)
    if high <= low:
        return ""
    top = len(_BARS) - 1
    return "".join(_BARS[round((value - low) / (high - low) * top)] for value in curve)


def _prompt_lines(prompt: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    messages = prompt.get("messages")
    for message in messages if isinstance(messages, Sequence) else ():
        if not isinstance(message, Mapping):
            continue
        content = message.get("content")
        text = content if isinstance(content, str) else str(content)
        lines += [f"[{message.get('role')}]", *text.splitlines()]
    for key in ("model", "model_parameters"):
        if prompt.get(key):
            lines.append(f"{key}: {prompt[key]}")
    return lines


def _headline(result: OptimizationResult) -> str:
    if result.is_baseline:
        return f"the initial prompt stands; {result.selection_reason}"
    return (
        f"{result.metric_name} {number(result.initial_score)} -> {number(result.score)}"
        f" on {result.interval.n} items; {result.selection_reason}"
    )


def _score_table(result: OptimizationResult) -> Table:
    table = Table(
        ("items", "n", "initial", "returned", "95 % interval", "+/-/=", "p"),
        left=frozenset({"items"}),
    )
    test = result.validation_test
    table.rows.append(
        (
            "validation (chosen on)",
            str(result.interval.n),
            number(result.initial_score),
            number(result.score),
            interval(result.interval.low, result.interval.high),
            f"{test.wins}/{test.losses}/{test.ties}" if test else "-",
            "-",
        )
    )
    held, before, unseen = result.holdout_score, result.initial_holdout_score, result.holdout_test
    if held is not None and before is not None:
        table.rows.append(
            (
                "holdout (unseen)",
                str(held.n),
                number(before.mean),
                number(held.mean),
                interval(held.low, held.high),
                f"{unseen.wins}/{unseen.losses}/{unseen.ties}" if unseen else "-",
                number(unseen.p_value) if unseen else "-",
            )
        )
    estimate = result.estimate
    shown = interval(estimate.low, estimate.high)
    table.rows.append(("expected on new items", "", "", number(estimate.mean), shown, "", ""))
    return table


def _notes(result: OptimizationResult) -> Iterator[str]:
    trials = result.trials
    kept = sum(trial.decision == "accepted" for trial in trials)
    refused = sum(trial.decision == "refused" for trial in trials)
    dropped = sum(trial.decision == "dropped" for trial in trials)
    yield (
        f"Trials: {len(trials)} ({kept} accepted, {dropped} dropped early, {refused} refused by a "
        f"guard). Stopped: {result.stop_reason}."
    )
    curve = score_curve(result)
    if curve:
        yield f"Best so far: {number(result.initial_score)} {curve} {number(result.score)}"
    cost = "unknown" if result.cost_usd is None else f"${result.cost_usd:.4g}"
    seconds = "" if result.seconds is None else f" Time: {result.seconds:.3g} s."
    yield (
        f"Metric calls: {result.metric_calls:,}. Model calls: {result.llm_calls:,}. "
        f"Tokens: {result.tokens:,}. Cost: {cost}.{seconds}"
    )
    failed = result.interval.failed
    if failed:
        yield f"Failed items of the returned prompt: {failed} of {result.interval.n}."
    yield from (f"Shared data: {overlap}" for overlap in result.overlaps)
    yield from (f"Warning: {shorten(warning, 200)}" for warning in result.warnings)
    if result.storage_location:
        yield f"Stored: {result.storage_location}, optimization {result.optimization_id}"


@dataclass
class ConsoleReporter:
    """Shows a run while it goes on: one line that is kept up to date, one line per news.

    In a pipe or a log file only the news are written.

    Attributes:
        file: Where to; standard error if ``None``, so that standard output stays the program's.
    """

    file: TextIO | None = None
    _console: Console | None = field(default=None, init=False)
    _status: Status | None = field(default=None, init=False)
    _best: float | None = field(default=None, init=False)
    _trials: int = field(default=0, init=False)
    _items: int = field(default=0, init=False)
    _used: dict[str, float] = field(default_factory=dict, init=False)
    _limits: dict[str, float] = field(default_factory=dict, init=False)

    def on_event(self, event: Event) -> None:
        """Show an event, if it is news."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif isinstance(event, ItemEvaluated):
            self._items += 1
        elif isinstance(event, TrialRecorded):
            self._trials += 1
        elif isinstance(event, BudgetUpdated):
            self._used = event.used
        elif isinstance(event, RunFinished | RunFailed):
            self._end()
        else:
            self._tell(event)
        self._refresh()

    def _tell(self, event: Event) -> None:
        match event:
            case BaselineEvaluated():
                self._best = event.evaluation.score
                self._say(f"baseline: {number(self._best)}")
            case CandidateRejected():
                self._say(f"refused ({event.guard}): {shorten(event.reason, 100)}")
            case IncumbentChanged():
                before, self._best = number(event.previous_score), event.evaluation.score
                operator = shorten(event.evaluation.candidate.operator, 40)
                self._say(f"new best: {before} -> {number(self._best)} ({operator})")
            case WarningRaised():
                self._say(f"warning: {event.message}")
            case StageStarted():
                self._say(f"stage {event.index + 1}: {event.optimizer}")
            case SearchStopped():
                self._say(f"stopped: {event.reason}")
            case _:
                pass

    def _begin(self, event: RunStarted) -> None:
        from rich.console import Console

        self._console = Console(file=self.file or sys.stderr, highlight=False, soft_wrap=True)
        self._limits = event.limits
        resumed = ", resumed" if event.resumed else ""
        self._say(
            f"{event.optimizer}: {event.metric_name} on {event.validation_items} items "
            f"(train {event.train_items}, holdout {event.holdout_items}{resumed})"
        )
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _say(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, markup=False)

    def _refresh(self) -> None:
        if self._status is None:
            return
        spent = ", ".join(
            f"{name} {self._used.get(name, 0):.4g}/{limit:.4g}"
            for name, limit in self._limits.items()
        )
        self._status.update(
            f"best {number(self._best)} | {self._trials} trials, {self._items} items"
            + (f" | {spent}" if spent else "")
        )
