"""Running figures and the progress line."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from opik_eval.engine.progress import ProgressBar, Tally
from opik_eval.experiments.result import TestCase, TestResult
from opik_eval.metrics import ScoreResult
from opik_eval.records import ErrorInfo


def result(*scores: ScoreResult, error: bool = False, cost_usd: float | None = None) -> TestResult:
    info = ErrorInfo(exception_type="ValueError", traceback="") if error else None
    case = TestCase(trace_id="t", dataset_item_id="i", task_output={})
    return TestResult(case, list(scores), trial_id=0, error=info, cost_usd=cost_usd)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Terminal:
    """A terminal that keeps what is drawn."""

    def __init__(self, *, is_terminal: bool = True, width: int = 200) -> None:
        self.text = io.StringIO()
        self.console = Console(
            file=self.text,
            force_terminal=is_terminal,
            width=width,
            color_system=None,
            _environ={},
        )

    @property
    def drawn(self) -> str:
        return self.text.getvalue()

    def last_lines(self, count: int) -> list[str]:
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.drawn)
        return [line for line in re.split(r"[\r\n]+", plain) if line][-count:]


def test_tally_counts_what_there_is() -> None:
    """Means over what has a value; errors, failures and cost counted beside."""
    tally = Tally()
    tally.add(result(ScoreResult("a", 1.0), ScoreResult("b", None), cost_usd=0.25))
    tally.add(result(ScoreResult("a", 0.0), ScoreResult("b", 0.5), cost_usd=0.5))
    tally.add(result(ScoreResult("a", None, scoring_failed=True)))
    tally.add(result(error=True))
    assert tally.done == 4
    assert tally.means == {"a": 0.5, "b": 0.5}
    assert tally.summary() == "a 0.500 · b 0.500 · errors 1 · failed scores 1 · $0.7500"


def test_summary_shows_a_few_means() -> None:
    """The line stays short, however many scores there are; nothing is nothing."""
    tally = Tally()
    assert tally.summary() == ""
    tally.add(result(*(ScoreResult(f"m{n}", 1.0) for n in range(9))))
    assert tally.summary().count("·") == 3


def test_draws_progress_rate_and_means() -> None:
    """On a terminal the line shows how far, how fast and how well."""
    terminal, clock = Terminal(), Clock()
    bar = ProgressBar(4, description="demo", console=terminal.console, now=clock)
    with bar:
        clock.seconds += 2.0
        bar.finished([result(ScoreResult("exact", 1.0)) for _ in range(3)])
        assert "demo" in terminal.drawn
        assert "3/4" in terminal.drawn
        assert "1.5/s" in terminal.drawn
        assert "exact 1.000" in terminal.drawn


def test_fits_into_eighty_columns() -> None:
    """Counts, rate, times and means are whole at 80 columns, however long the names are."""
    terminal, clock = Terminal(width=80), Clock()
    with ProgressBar(
        10_000, description="a long [name] of " * 5, console=terminal.console, now=clock
    ) as bar:
        clock.seconds += 4.0
        bar.finished([result(ScoreResult(f"metric_{n}_of_many", 0.5)) for n in range(5000)])
        first, second = terminal.last_lines(2)
    assert all(len(line) <= 80 for line in (first, second))
    for shown in ("a long [name] of", "5000/10000", "1250.0/s", "0:00:04"):
        assert shown in first
    assert second.startswith("metric_0_of_many 0.500 · metric_1_of_many 0.500")


def test_draws_at_most_ten_times_a_second() -> None:
    """However fast results come, drawing costs next to nothing; the last state is drawn."""
    terminal, clock = Terminal(), Clock()
    with ProgressBar(1000, description="demo", console=terminal.console, now=clock) as bar:
        for _ in range(500):
            clock.seconds += 0.001
            bar.finished([result()])
        shown = [n for n in range(1001) if f"{n}/1000" in terminal.drawn]
        assert len(shown) <= 7
    assert "500/1000" in terminal.drawn


def test_nothing_is_drawn_where_nobody_looks() -> None:
    """Pipes and silent runs get nothing; results are counted all the same."""
    pipe = Terminal(is_terminal=False)
    with ProgressBar(2, description="demo", console=pipe.console) as bar:
        bar.finished([result()])
    assert pipe.drawn == ""
    assert bar.tally.done == 1
    terminal = Terminal()
    with ProgressBar(2, description="demo", console=terminal.console, silent=True) as bar:
        bar.finished([result()])
    assert terminal.drawn == ""
    assert bar.tally.done == 1


def test_standard_error_is_the_default_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a console of its own the line would go to standard error, never to the output."""
    with ProgressBar(None, description="demo") as bar:
        bar.finished([result()])
    assert capsys.readouterr().out == ""


def test_prints_of_tasks_stay_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard output is a file, what tasks print ends up there, not on the terminal."""
    terminal, output = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    with ProgressBar(1, description="demo", console=terminal.console):
        print("from a task")
    assert output.getvalue() == "from a task\n"
    assert "from a task" not in terminal.drawn
