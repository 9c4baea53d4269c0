"""``opik-eval compare``: is B better than A?"""

from __future__ import annotations

import click

from opik_eval.cli.exits import DONE, REGRESSION
from opik_eval.cli.output import common_options, examples, open_store, show_json, show_text
from opik_eval.experiments import Comparison, compare
from opik_eval.experiments.render import comparison_text


@click.command(
    "compare",
    epilog=examples(
        "opik-eval compare main my-branch",
        "opik-eval compare main my-branch --metric accuracy --margin 0.02",
    ),
)
@click.argument("a")
@click.argument("b")
@click.option("--metric", "metrics", multiple=True, help="Compare only this metric; repeatable.")
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="Largest loss that is acceptable; fail unless the data rule out more.",
)
@click.option(
    "--items",
    "most",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Show N items that got worse and N that got better.",
)
@common_options
def compare_command(
    a: str,
    b: str,
    metrics: tuple[str, ...],
    margin: float | None,
    most: int,
    storage: str | None,
    as_json: bool,
) -> int:
    """Compare experiment B with the baseline A (ids or names), item by item.

    Exits with 4 if B is significantly worse on some metric or in its share of failures; with
    --margin also if a loss of more than that cannot be ruled out.
    """
    with open_store(storage, create=False) as opened:
        comparison = compare(a, b, storage=opened, metrics=list(metrics) or None)
    regressions = _regressions(comparison, margin)
    if as_json:
        show_json({**comparison.to_dict(), "regressions": regressions})
    else:
        show_text(
            lambda width, ascii_only: comparison_text(
                comparison, width=width, ascii_only=ascii_only, max_items=most
            )
        )
    for regression in regressions:
        click.echo(f"regression: {regression}", err=True)
    return REGRESSION if regressions else DONE


def _regressions(comparison: Comparison, margin: float | None) -> list[str]:
    rows = (*comparison.metrics.values(), *comparison.missing.values())
    found = [f"{row.metric} is worse in B" for row in rows if row.verdict == "worse"]
    if margin is None:
        return found
    try:
        comparison.assert_no_regression(margin=margin)
    except AssertionError as error:
        reasons, _, _ = str(error).partition("\n\n")  # the comparison follows as text
        return [*found, *reasons.splitlines()]
    return found
