"""``opik-eval compare``: is B better than A?"""

from __future__ import annotations

import click

from opik_eval.cli.exits import DONE, REGRESSION
from opik_eval.cli.output import common_options, show_json, show_text
from opik_eval.experiments import compare
from opik_eval.experiments.render import comparison_text
from opik_eval.storage.opening import open_storage


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--metric", "metrics", multiple=True, help="Compare only this metric; repeatable.")
@click.option(
    "--margin",
    type=float,
    help="Exit with 4 unless B is shown to be no worse than A by more than this.",
)
@common_options
def compare_command(  # noqa: PLR0913 - one parameter for each option
    a: str,
    b: str,
    metrics: tuple[str, ...],
    margin: float | None,
    storage: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by keyword
) -> int:
    """Compare experiment B with the baseline A (ids or names), item by item."""
    comparison = compare(a, b, storage=open_storage(storage), metrics=list(metrics) or None)
    if as_json:
        show_json(comparison.to_dict())
    else:
        show_text(
            lambda width, ascii_only: comparison_text(
                comparison, width=width, ascii_only=ascii_only
            )
        )
    if margin is None:
        return DONE
    try:
        comparison.assert_no_regression(margin=margin)
    except AssertionError as error:
        click.echo(f"regression: {str(error).splitlines()[0]}", err=True)
        return REGRESSION
    return DONE
