"""The command ``opik-eval optimize``."""

from opik_optimizer.cli.command import optimize_command

__all__ = ["optimize_command"]
