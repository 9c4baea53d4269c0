"""Progress of a run: running means, rate, time left, cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from opik_eval.experiments.result import TestResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress, TaskID
    from rich.text import Text

_REFRESH_SECONDS = 0.1
_SHOWN_MEANS = 4
_NAME_WIDTH = 28
_BAR_WIDTH = 12


class Listener(Protocol):
    """Hears of results once they are safe in the store; called from one thread at a time."""

    def finished(self, results: Sequence[TestResult]) -> None:
        """Some more units are done."""
        ...


@dataclass
class Tally:
    """Running figures of a run.

    Attributes:
        done: Units finished.
        errors: Units whose task failed.
        failed_scores: Scores that could not be computed.
        cost_usd: Sum of the known costs of tasks and metrics; ``None`` until one is known.
    """

    done: int = 0
    errors: int = 0
    failed_scores: int = 0
    cost_usd: float | None = None
    _sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, result: TestResult) -> None:
        """Count one result."""
        self.done += 1
        self.errors += result.error is not None
        for cost in (result.cost_usd, result.scoring_use.cost_usd):
            if cost is not None:
                self.cost_usd = (self.cost_usd or 0.0) + cost
        for score in result.score_results:
            if score.is_scored and score.value is not None:
                total, count = self._sums.get(score.name, (0.0, 0))
                self._sums[score.name] = (total + score.value, count + 1)
            elif score.scoring_failed:
                self.failed_scores += 1

    @property
    def means(self) -> dict[str, float]:
        """Mean of each score over the units that have it."""
        return {name: total / count for name, (total, count) in self._sums.items()}

    def summary(self) -> str:
        """Return the figures in one short line."""
        parts = [f"{name} {mean:.3f}" for name, mean in list(self.means.items())[:_SHOWN_MEANS]]
        if self.errors:
            parts.append(f"errors {self.errors}")
        if self.failed_scores:
            parts.append(f"failed scores {self.failed_scores}")
        if self.cost_usd:
            parts.append(f"${self.cost_usd:.4f}")
        return " · ".join(parts)


class ProgressBar:
    """How far and how fast on one line, the figures below; silent where there is no terminal.

    Drawn on standard error, within 80 columns.

    Args:
        total: Number of units, if known.
        description: What is running.
        console: Where to draw; a console on standard error if absent.
        silent: Count, but draw nothing.
        now: Clock, in seconds.
    """

    def __init__(
        self,
        total: int | None,
        *,
        description: str,
        console: Console | None = None,
        silent: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._total = total
        self._description = description
        self._console = console
        self._silent = silent
        self._now = now
        self._drawn_at = float("-inf")
        self._live: Live | None = None
        self._progress: Progress
        self._figures: Text
        self._task: TaskID
        self._started_at: float

    def __enter__(self) -> Self:
        """Draw the lines."""
        if self._silent:
            return self
        from rich.console import Console, Group
        from rich.live import Live
        from rich.text import Text

        console = self._console or Console(stderr=True)
        if not console.is_terminal:
            return self
        self._progress = _progress(console, self._now)
        self._task = self._progress.add_task(self._description, total=self._total, rate="")
        self._figures = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(
            Group(self._progress, self._figures),
            console=console,
            auto_refresh=False,
            transient=True,
            # What tasks print would else go to the terminal even where standard output is a file.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )
        self._live.start()
        self._started_at = self._now()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the lines."""
        if self._live is not None:
            self._draw(self._live)
            self._live.stop()

    def finished(self, results: Sequence[TestResult]) -> None:
        """Count results; redraw at most ten times a second."""
        for result in results:
            self.tally.add(result)
        if self._live is not None and self._now() - self._drawn_at >= _REFRESH_SECONDS:
            self._draw(self._live)

    def _draw(self, live: Live) -> None:
        self._drawn_at = self._now()
        elapsed = max(self._drawn_at - self._started_at, 1e-9)
        rate = f"{self.tally.done / elapsed:.1f}/s"
        self._progress.update(self._task, completed=self.tally.done, rate=rate)
        self._figures.plain = self.tally.summary()
        live.refresh()


def _progress(console: Console, now: Callable[[], float]) -> Progress:
    """Return the line's columns; widths are such that 80 columns are enough for most runs."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    named = Column(max_width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=named),
        BarColumn(bar_width=_BAR_WIDTH),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=console,
        get_time=now,
    )
