"""How results and comparisons look in a terminal, a pipe and a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from opik_eval.experiments.changes import TASK_ERRORS, ItemChange
from opik_eval.experiments.pairing import ItemRuns
from opik_eval.experiments.table import Table, interval, number, shorten, to_ascii, wrap
from opik_eval.experiments.totals import RunTotals, run_totals

if TYPE_CHECKING:
    from opik_eval.experiments.comparison import Comparison
    from opik_eval.experiments.result import EvaluationResult

_INPUT_KEYS = ("input", "question", "query", "prompt", "message", "text", "messages")
_EXPECTED_KEYS = ("expected_output", "expected", "reference", "answer", "label", "intent", "target")
_OUTPUT_KEYS = ("output", "answer", "response", "text")


def result_text(
    result: EvaluationResult, *, width: int = 80, ascii_only: bool = False, color: bool = False
) -> str:
    """Return a result for a terminal or a pipe.

    Args:
        result: What an evaluation returned.
        width: Characters per line.
        ascii_only: Use nothing but ASCII, for pipes and log files.
        color: Add ANSI styles.
    """
    table = _score_table(result).as_text(width=width, ascii_only=ascii_only, color=color)
    lines = [_headline(result), "", table, "", *_result_notes(result)]
    return _finished(lines, width, ascii_only)


def result_html(result: EvaluationResult) -> str:
    """Return a result as an HTML fragment for notebooks."""
    return _fragment(_headline(result), _score_table(result), _result_notes(result))


def comparison_text(
    comparison: Comparison,
    *,
    width: int = 80,
    ascii_only: bool = False,
    color: bool = False,
    max_items: int = 5,
) -> str:
    """Return a comparison for a terminal or a pipe, what got worse first.

    Args:
        comparison: What ``compare`` returned.
        width: Characters per line.
        ascii_only: Use nothing but ASCII, for pipes and log files.
        color: Add ANSI styles.
        max_items: How many items to show of those that got worse, and of those that got better.
    """
    table = _comparison_table(comparison)
    lines = [
        *_comparison_head(comparison),
        "",
        table.as_text(width=width, ascii_only=ascii_only, color=color),
        "",
        *_comparison_notes(comparison),
        *_change_lines(comparison, max_items, width),
    ]
    return _finished(lines, width, ascii_only)


def comparison_html(comparison: Comparison, *, max_items: int = 5) -> str:
    """Return a comparison as an HTML fragment for notebooks."""
    changes = "\n".join(_change_lines(comparison, max_items, 120)).strip()
    head = " | ".join(_comparison_head(comparison))
    body = _fragment(head, _comparison_table(comparison), _comparison_notes(comparison))
    return body + (f"<pre>{html.escape(changes)}</pre>" if changes else "")


def _score_table(result: EvaluationResult) -> Table:
    table = Table(
        ("metric", "n", "mean", "s.e.", "95 % interval", "failed", "unscored"),
        left=frozenset({"metric"}),
    )
    for name, part in result.aggregate_evaluation_scores().aggregated_scores.items():
        table.rows.append(
            (
                shorten(name, 60),
                str(part.n),
                number(part.mean),
                number(part.standard_error),
                interval(part.interval_low, part.interval_high),
                str(part.failed_count),
                str(part.unscored_count),
            )
        )
    return table


def _headline(result: EvaluationResult) -> str:
    totals = run_totals(result.test_results)
    trials = f" x {result.trial_count} trials" if result.trial_count > 1 else ""
    name = shorten(result.experiment_name or result.experiment_id, 60)
    took = "" if result.total_seconds is None else f" in {result.total_seconds:.3g} s"
    return f"{name}: {totals.items} items{trials}, {result.status}{took}"


def _result_notes(result: EvaluationResult) -> list[str]:
    totals = run_totals(result.test_results)
    notes = [f"Task errors: {totals.task_errors} of {totals.results}. {_spent(totals)}".strip()]
    notes += _metric_costs(result)
    lower = [name for name, higher in result.higher_is_better.items() if higher is False]
    if lower:
        notes.append(f"Lower is better: {', '.join(lower)}")
    notes += [
        f"{score.name} of the experiment: "
        + (number(score.value) if score.is_scored else f"failed ({shorten(score.reason, 50)})")
        for score in result.experiment_scores
    ]
    if result.stop_reason:
        notes.append(f"Stopped: {shorten(result.stop_reason, 200)}")
    if result.reused_items:
        notes.append(f"Reused from the interrupted run: {result.reused_items} results")
    if result.flush is not None and not result.flush.complete:
        notes.append(
            f"Not all delivered: {result.flush.pending} records wait on disk, "
            f"{len(result.flush.rejected)} were rejected"
        )
        if result.flush.problem:
            notes.append(f"Why they wait: {shorten(result.flush.problem, 200)}")
        notes += [f"Rejected: {shorten(reason, 200)}" for reason in result.flush.rejected[:3]]
    notes += [f"Warning: {shorten(warning, 200)}" for warning in result.warnings]
    where = result.experiment_url or result.storage_location
    return [*notes, f"Stored: {where}"] if where else notes


def _metric_costs(result: EvaluationResult) -> list[str]:
    """Return what each metric used that called a model."""
    notes = []
    for name, part in result.aggregate_evaluation_scores().aggregated_scores.items():
        if part.model_calls:
            tokens = "" if part.total_tokens is None else f", {part.total_tokens:,} tokens"
            cost = "price unknown" if part.cost_usd is None else f"${part.cost_usd:.4g}"
            calls = f"{part.model_calls:,} calls{tokens}, {cost}"
            notes.append(f"Of these for {shorten(name, 60)}: {calls}")
    return notes


def _spent(totals: RunTotals) -> str:
    parts = []
    if totals.total_tokens is not None:
        parts.append(f"Tokens: {totals.total_tokens:,}.")
    if totals.cost_usd is not None:
        parts.append(f"Cost: ${totals.cost_usd:.4g}.")
    if totals.unpriced_calls:
        parts.append(f"Calls of unknown price: {totals.unpriced_calls}.")
    return " ".join(parts)


def _comparison_head(comparison: Comparison) -> list[str]:
    sides = (
        ("A", comparison.name_a, comparison.totals_a, comparison.seconds_a),
        ("B", comparison.name_b, comparison.totals_b, comparison.seconds_b),
    )
    lines = []
    for label, name, totals, seconds in sides:
        facts = [f"{totals.items} items"]
        if totals.total_tokens is not None:
            facts.append(f"{totals.total_tokens:,} tokens")
        if totals.cost_usd is not None:
            facts.append(f"${totals.cost_usd:.4g}{'+' if totals.unpriced_calls else ''}")
        if totals.mean_task_seconds is not None:
            facts.append(f"{totals.mean_task_seconds:.3g} s per task")
        if seconds is not None:
            facts.append(f"{seconds:.3g} s in all")
        lines.append(f"{label}: {shorten(name, 60)} ({', '.join(facts)})")
    return lines


def _comparison_table(comparison: Comparison) -> Table:
    percent = f"{comparison.confidence * 100:g} % interval"
    table = Table(
        ("metric", "A", "B", "B - A", percent, "p", "+/-/=", "verdict"),
        left=frozenset({"metric", "verdict"}),
    )
    for row in (*comparison.metrics.values(), *comparison.missing.values()):
        paired = row.paired
        table.rows.append(
            (
                shorten(row.metric, 60),
                number(paired.mean_a),
                number(paired.mean_b),
                number(paired.difference, signed=True),
                interval(paired.low, paired.high),
                f"{row.p_adjusted:.3f}" if row.p_adjusted >= 0.001 else "<.001",
                f"{paired.wins}/{paired.losses}/{paired.ties}",
                row.verdict,
            )
        )
    return table


def _comparison_notes(comparison: Comparison) -> list[str]:
    rows = [*comparison.metrics.values(), *comparison.missing.values()]
    pairs = len(comparison.pairing.pairs)
    notes = [f"Pairs: {pairs}. +/-/= counts those where B is better, worse, equal."]
    tested = sum(row.paired.informative > 0 for row in comparison.metrics.values())
    if tested > 1:
        notes.append(f"p is adjusted for {tested} metrics (Holm).")
    lower = [row.metric for row in comparison.metrics.values() if row.higher_is_better is False]
    if lower:
        notes.append(f"Lower is better: {', '.join(lower)}")
    gaps = [f"{row.metric} {row.incomplete}" for row in rows if row.incomplete]
    if gaps:
        notes.append(f"Pairs left out for want of a value: {', '.join(gaps)}")
    notes += [f"Warning: {shorten(warning, 200)}" for warning in comparison.warnings]
    return notes


def _change_lines(comparison: Comparison, most: int, width: int) -> Iterator[str]:
    yield from _lines_of("Got worse", comparison.worse, "went from right to wrong", most, width)
    yield from _lines_of("Got better", comparison.better, "went from wrong to right", most, width)


def _lines_of(
    title: str, changes: Sequence[ItemChange], flip: str, most: int, width: int
) -> Iterator[str]:
    if not changes or most < 1:
        return
    flips = sum(change.flipped for change in changes)
    yield ""
    yield f"{title}: {len(changes)}, of which {flips} {flip}." + (
        f" The first {most}:" if len(changes) > most else ""
    )
    for change in changes[:most]:
        yield f"- {change.metric} {number(change.before)} -> {number(change.after)}  " + (
            f"item {shorten(change.dataset_item_id, 40)}"
        )
        for label, value in _details(change):
            yield f"    {label:10}{shorten(value, width - 14)}"


def _details(change: ItemChange) -> Iterator[tuple[str, object]]:
    content = change.item_a.content
    shown = _first(content, _INPUT_KEYS)
    if content:
        yield "input:", content if shown is None else shown
    expected = _first(content, _EXPECTED_KEYS)
    if expected is not None:
        yield "expected:", expected
    yield "A:", _output(change.item_a, change)
    yield "B:", _output(change.item_b, change)


def _output(runs: ItemRuns, change: ItemChange) -> object:
    failed = [trial for trial in runs.trials if trial.error is not None]
    if failed and (change.metric == TASK_ERRORS or len(failed) == len(runs.trials)):
        error = failed[0].error
        return f"{error.exception_type}: {error.message or ''}" if error else ""
    done = next((trial for trial in runs.trials if trial.error is None), runs.trials[0])
    output = done.test_case.task_output or {}
    shown = _first(output, _OUTPUT_KEYS)
    return output if shown is None else shown


def _first(values: Mapping[str, object], keys: Sequence[str]) -> object:
    return next((values[key] for key in keys if values.get(key) is not None), None)


def _finished(lines: Sequence[str], width: int, ascii_only: bool) -> str:
    text = "\n".join(lines)
    return wrap(to_ascii(text) if ascii_only else text, width)


def _fragment(head: str, table: Table, notes: Sequence[str]) -> str:
    below = "<br>".join(html.escape(note) for note in notes)
    return f"<div><p><b>{html.escape(head)}</b></p>{table.as_html()}<p>{below}</p></div>"
