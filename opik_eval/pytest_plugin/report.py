"""What the checks and units of a session came to, as Markdown for a pull request."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opik_eval.experiments import EvaluationResult
from opik_eval.experiments.table import interval, number, shorten


@dataclass(frozen=True, slots=True)
class Check:
    """One check against a baseline.

    Attributes:
        test: The test that made it.
        path: The file of the baseline.
        comparison: ``Comparison.to_dict()``; ``None`` if the baseline was written.
        failed: The result is worse than the baseline.
        text: The comparison in words, what got worse first.
    """

    test: str
    path: str
    comparison: Mapping[str, Any] | None
    failed: bool
    text: str

    @classmethod
    def of(cls, test: str, said: Mapping[str, Any]) -> Check:
        """Return the check that a baseline of a test spoke of."""
        return cls(test, said["path"], said["comparison"], said["failed"], said["text"])

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The compared metrics and shares of missing results."""
        comparison = self.comparison or {"metrics": (), "missing": ()}
        return (*comparison["metrics"], *comparison["missing"])

    @property
    def verdict(self) -> str:
        """What came of it, in a word or two."""
        if self.comparison is None:
            return "baseline written"
        return "FAILED" if self.failed else "passed"


def check_lines(checks: Sequence[Check]) -> Iterator[str]:
    """Yield a line for each metric of each check, for a terminal."""
    for check in checks:
        if check.comparison is None:
            yield f"{check.test}: baseline written to {check.path}"
            continue
        yield f"{check.test}: {check.verdict}"
        for row in check.rows:
            yield f"  {row['metric']}: {_said_of(row)}"
        for warning in check.comparison["warnings"]:
            yield f"  Warning: {warning}"


def properties(checks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
    """Yield what a test's checks found as properties of the test, for JUnit reports."""
    for check in (Check.of("", said) for said in checks):
        for row in check.rows:
            yield f"{Path(check.path).stem}.{row['metric']}", _said_of(row)


def markdown(
    checks: Sequence[Check], units: EvaluationResult | None, problems: Sequence[str] = ()
) -> str:
    """Return the report of a session.

    Args:
        checks: All checks against baselines.
        units: The experiment of its units.
        problems: What could not be recorded.
    """
    parts = ["# Evaluation"]
    parts += [f"**Not recorded:** {_cell(problem)}" for problem in problems]
    if checks:
        parts.append("\n".join(_check_table(checks)))
    parts += [_details(check) for check in checks if check.text]
    if units is not None:
        parts.append("\n".join(_unit_part(units)))
    if len(parts) == 1:
        parts.append("No test of this session checked a baseline or was recorded as a unit.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _check_table(checks: Sequence[Check]) -> Iterator[str]:
    yield "| test | metric | baseline | now | difference, 95 % | n | evidence | check |"
    yield "|---|---|--:|--:|--:|--:|---|---|"
    for check in checks:
        if check.comparison is None:
            yield f"| {_cell(check.test)} | | | | | | | {check.verdict} |"
            continue
        for row in check.rows:
            cells = (
                _cell(check.test),
                _cell(row["metric"]),
                number(row["mean_a"]),
                number(row["mean_b"]),
                _difference(row),
                row["n"],
                row["verdict"],
                check.verdict,
            )
            yield f"| {' | '.join(map(str, cells))} |"


def _details(check: Check) -> str:
    opened = " open" if check.failed else ""
    head = f"<details{opened}><summary>{html.escape(check.test)}: {check.verdict}</summary>"
    return f"{head}\n\n```text\n{check.text}\n```\n\n</details>"


def _unit_part(result: EvaluationResult) -> Iterator[str]:
    yield f"## Units: {_cell(result.experiment_name or result.experiment_id)}"
    yield ""
    yield "| score | n | mean | 95 % |"
    yield "|---|--:|--:|--:|"
    for name, part in result.aggregate_evaluation_scores().aggregated_scores.items():
        low, high = part.interval_low, part.interval_high
        yield f"| {_cell(name)} | {part.n} | {number(part.mean)} | {interval(low, high)} |"


def _said_of(row: Mapping[str, Any]) -> str:
    means = f"{number(row['mean_a'])} -> {number(row['mean_b'])}"
    return f"{means}, {_difference(row)}, n={row['n']}, {row['verdict']}"


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "-"
    return f"{number(row['difference'], signed=True)} {interval(row['low'], row['high'])}"


def _cell(text: object) -> str:
    return shorten(str(text), 80).replace("|", "\\|").replace("\n", " ")
