"""Optional packages, loaded where they are needed and named where they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from opik_eval.errors import MetricError


def load_extra(module: str, *, extra: str, metric: str) -> ModuleType:
    """Import a module that only some metrics need.

    Args:
        module: Its dotted name.
        extra: The extra of this package that installs it.
        metric: Name of the metric, for the error.

    Raises:
        MetricError: It cannot be imported.

    Example:
        >>> load_extra("json", extra="text", metric="my_metric").__name__
        'json'
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MetricError(
            f"metric {metric!r} needs {module.partition('.')[0]!r}, which cannot be imported: "
            f"{error}",
            remedy=f'pip install "opik-eval[{extra}]"',
        ) from error


__all__ = ["load_extra"]
