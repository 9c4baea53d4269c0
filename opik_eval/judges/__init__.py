"""Judges: metrics whose score is a language model's verdict.

Names are resolved on first use. To add a judge, name its module in ``_HOME`` (and in the block for
type checkers above it).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opik_eval.judges.base import Judge
    from opik_eval.judges.g_eval import GEval

_HOME = {
    "GEval": "g_eval",
    "Judge": "base",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = ["GEval", "Judge"]
