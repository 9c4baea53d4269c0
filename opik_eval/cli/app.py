"""The group of commands, and how errors end them."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from opik_eval import __version__
from opik_eval.cli.exits import DONE, ERROR, EXIT_CODES, INTERRUPTED
from opik_eval.errors import OpikEvalError

_COMMANDS = {
    "audit": "opik_eval.cli.audit",
    "backup": "opik_eval.cli.backup",
    "compare": "opik_eval.cli.compare",
    "configure": "opik_eval.cli.configure",
    "demo": "opik_eval.cli.demo",
    "doctor": "opik_eval.cli.doctor",
    "export": "opik_eval.cli.transfer",
    "import": "opik_eval.cli.transfer",
    "keys": "opik_eval.cli.keys",
    "list": "opik_eval.cli.listing",
    "prune": "opik_eval.cli.prune",
    "optimize": "opik_optimizer.cli",  # looked up by name alone: that package sits on this one
    "resume": "opik_eval.cli.resume",
    "run": "opik_eval.cli.run",
    "serve": "opik_eval.cli.serve",
    "show": "opik_eval.cli.show",
    "sync": "opik_eval.cli.sync",
    "workspaces": "opik_eval.cli.workspaces",
}


class _LazyGroup(click.Group):
    """Loads a command's module when the command is used, so that no command pays for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        loaded = importlib.import_module(module)
        command: click.Command = getattr(loaded, f"{cmd_name}_command")
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\n{EXIT_CODES}",
)
@click.version_option(__version__, "-V", "--version", prog_name="opik-eval")
def cli() -> None:
    """Evaluate LLM applications, with honest statistics.

    Results live in a store: --storage, else OPIK_EVAL_STORAGE, else the nearest .opik folder.
    Results go to standard output, progress and errors to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process.

    Args:
        arguments: The words after ``opik-eval``; those of the process if absent.

    Raises:
        SystemExit: Always, with the exit code that ``opik-eval --help`` explains.
    """
    _never_fail_to_print()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
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
    except OSError as error:  # standard output on a full disk, above all
        click.echo(f"error: cannot read or write: {error}", err=True)
        code = ERROR
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else DONE)


def _never_fail_to_print() -> None:
    """Escape what the encoding of a terminal or pipe lacks instead of failing on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
