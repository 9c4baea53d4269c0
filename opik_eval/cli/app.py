"""The group of commands, and how errors end them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from opik_eval import __version__
from opik_eval.cli.exits import ERROR, INTERRUPTED
from opik_eval.errors import OpikEvalError

_COMMANDS = {
    "compare": "opik_eval.cli.compare",
    "demo": "opik_eval.cli.demo",
    "doctor": "opik_eval.cli.doctor",
    "export": "opik_eval.cli.transfer",
    "import": "opik_eval.cli.transfer",
    "list": "opik_eval.cli.listing",
    "resume": "opik_eval.cli.resume",
    "run": "opik_eval.cli.run",
    "show": "opik_eval.cli.show",
}


class _LazyGroup(click.Group):
    """Loads a command's module when the command is used, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        loaded = importlib.import_module(module)
        command: click.Command = getattr(loaded, f"{cmd_name}_command")
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="opik-eval")
def cli() -> None:
    """Evaluate LLM applications, with honest statistics.

    Results live in a store: --storage, else OPIK_EVAL_STORAGE, else the nearest .opik folder.

    Exit codes: 0 = done; 1 = an error, explained on standard error; 2 = wrong usage; 3 = the run
    ended incomplete (stopped by a limit, failed tasks, or records not delivered); 4 = a comparison
    found a regression; 130 = interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="opik-eval",
            standalone_mode=False,
        )
    except OpikEvalError as error:
        click.echo(f"error: {error}", err=True)
        code = ERROR
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)
