"""The command line: ``opik-eval``."""

from opik_eval.cli.app import main

__all__ = ["main"]
