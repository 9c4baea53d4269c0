"""``opik-eval demo``: two prompts, a model that runs here, an honest comparison."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from opik_eval.cli.demo_metrics import Accuracy, Unparsed
from opik_eval.cli.execution import demo_dataset
from opik_eval.cli.exits import DONE, INCOMPLETE, code_for
from opik_eval.cli.output import (
    command_line,
    common_options,
    open_store,
    result_as_dict,
    show_json,
    show_text,
)
from opik_eval.datasets.demo import INTENTS, demonstration_prompt, instruction_prompt
from opik_eval.errors import ConfigError
from opik_eval.evaluation import evaluate_prompt
from opik_eval.experiments import Comparison, compare
from opik_eval.experiments.render import comparison_text
from opik_eval.experiments.result import EvaluationResult
from opik_eval.models.local import EMBEDDED_MODEL, unavailable_reason
from opik_eval.storage.base import Storage

_PROMPTS = {
    "demo-instruction": instruction_prompt,
    "demo-demonstrations": demonstration_prompt,
}
_PARAMETERS = {"temperature": 0, "max_tokens": 12}
_THREADS = 4
_SHOWN_CHANGES = 3


@dataclass(frozen=True)
class _Demo:
    """The two evaluations with all they have in common."""

    storage: Storage
    items: int | None
    quiet: bool

    def run(self, name: str, prompt: Sequence[Mapping[str, object]]) -> EvaluationResult:
        """Evaluate one prompt."""
        click.echo(f"{name} is running ...", err=True)
        result = evaluate_prompt(
            demo_dataset("test", self.storage),
            prompt,
            EMBEDDED_MODEL,
            [Accuracy(), Unparsed()],
            model_parameters=_PARAMETERS,
            experiment_name=name,
            nb_samples=self.items,
            task_threads=_THREADS,
            storage=self.storage,
            verbose=0 if self.quiet else 1,
        )
        if not self.quiet:
            click.echo()
        return result


@click.command("demo")
@click.option(
    "--items",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use only the first N of the 120 test items.",
)
@common_options
def demo_command(items: int | None, storage: str | None, as_json: bool) -> int:
    """Evaluate two prompts with the embedded model, and compare them.

    The task is to sort messages of a shop's customers into six intents; the prompts are an
    instruction alone, and the same with eight demonstrations. No key and no network are needed.
    It takes one to three minutes on two cores. Both results stay in the store.
    """
    reason = unavailable_reason(EMBEDDED_MODEL)
    if reason is not None:
        raise ConfigError(f"the demo needs the embedded model: {reason}")
    started = time.perf_counter()
    if not as_json:
        click.echo(
            f"Task: sort messages of a shop's customers into {len(INTENTS)} intents.\n"
            f"Model: {EMBEDDED_MODEL}, on this machine.\n"
        )
    with open_store(storage) as opened:
        demo = _Demo(opened, items, quiet=as_json)
        a, b = (demo.run(name, prompt()) for name, prompt in _PROMPTS.items())
    comparison = compare(a, b)
    seconds = time.perf_counter() - started
    if as_json:
        show_json(
            {
                "model": EMBEDDED_MODEL,
                "results": [result_as_dict(a), result_as_dict(b)],
                "comparison": comparison.to_dict(),
                "total_seconds": seconds,
            }
        )
    else:
        _show(comparison)
        click.echo(
            f"\nTook {seconds:.0f} s. Where to look next:\n"
            f"  {command_line('list')}\n"
            f"  {command_line('show', a.experiment_id)}\n"
            f"  {command_line('compare', a.experiment_id, b.experiment_id)}\n"
            "  docs/quickstart.md: the same with data, prompts and metrics of your own"
        )
    return DONE if code_for(a) == code_for(b) == DONE else INCOMPLETE


def _show(comparison: Comparison) -> None:
    show_text(
        lambda width, ascii_only: comparison_text(
            comparison, width=width, ascii_only=ascii_only, max_items=_SHOWN_CHANGES
        )
    )
