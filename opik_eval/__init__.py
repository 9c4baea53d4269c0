"""Evaluate LLM applications on a laptop, with honest statistics.

Names are resolved on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opik_eval.client import ChatPrompt, Opik, Prompt
    from opik_eval.datasets.dataset import Dataset
    from opik_eval.datasets.sampling import RandomDatasetSampler
    from opik_eval.errors import OpikEvalError
    from opik_eval.evaluation import (
        ErrorTolerance,
        aevaluate,
        evaluate,
        evaluate_experiment,
        evaluate_on_dict_items,
        evaluate_prompt,
        evaluate_resume,
    )
    from opik_eval.experiments import EvaluationResult, compare
    from opik_eval.models import Budget, get_model
    from opik_eval.storage.opening import open_storage
    from opik_eval.tracing import (
        distributed_headers,
        flush_tracker,
        is_tracing_active,
        reset_tracing_to_config_default,
        set_tracing_active,
        start_as_current_span,
        start_as_current_trace,
        track,
    )

__version__ = "0.1.0"

_HOMES = {
    "Budget": "opik_eval.models",
    "ChatPrompt": "opik_eval.client",
    "Dataset": "opik_eval.datasets.dataset",
    "ErrorTolerance": "opik_eval.evaluation",
    "EvaluationResult": "opik_eval.experiments",
    "Opik": "opik_eval.client",
    "OpikEvalError": "opik_eval.errors",
    "Prompt": "opik_eval.client",
    "RandomDatasetSampler": "opik_eval.datasets.sampling",
    "aevaluate": "opik_eval.evaluation",
    "compare": "opik_eval.experiments",
    "distributed_headers": "opik_eval.tracing",
    "evaluate": "opik_eval.evaluation",
    "evaluate_experiment": "opik_eval.evaluation",
    "evaluate_on_dict_items": "opik_eval.evaluation",
    "evaluate_prompt": "opik_eval.evaluation",
    "evaluate_resume": "opik_eval.evaluation",
    "flush_tracker": "opik_eval.tracing",
    "get_model": "opik_eval.models",
    "is_tracing_active": "opik_eval.tracing",
    "open_storage": "opik_eval.storage.opening",
    "reset_tracing_to_config_default": "opik_eval.tracing",
    "set_tracing_active": "opik_eval.tracing",
    "start_as_current_span": "opik_eval.tracing",
    "start_as_current_trace": "opik_eval.tracing",
    "track": "opik_eval.tracing",
}

__all__ = [
    "Budget",
    "ChatPrompt",
    "Dataset",
    "ErrorTolerance",
    "EvaluationResult",
    "Opik",
    "OpikEvalError",
    "Prompt",
    "RandomDatasetSampler",
    "aevaluate",
    "compare",
    "distributed_headers",
    "evaluate",
    "evaluate_experiment",
    "evaluate_on_dict_items",
    "evaluate_prompt",
    "evaluate_resume",
    "flush_tracker",
    "get_model",
    "is_tracing_active",
    "open_storage",
    "reset_tracing_to_config_default",
    "set_tracing_active",
    "start_as_current_span",
    "start_as_current_trace",
    "track",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'opik_eval' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
