"""Evaluate LLM applications on a laptop, with honest statistics.

Names are resolved on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

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
    from opik_eval.pytest_plugin.unit import llm_unit
    from opik_eval.simulation import SimulatedUser, run_simulation
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
    "Budget": "models",
    "ChatPrompt": "client",
    "Dataset": "datasets.dataset",
    "ErrorTolerance": "evaluation",
    "EvaluationResult": "experiments",
    "Opik": "client",
    "OpikEvalError": "errors",
    "Prompt": "client",
    "RandomDatasetSampler": "datasets.sampling",
    "SimulatedUser": "simulation",
    "aevaluate": "evaluation",
    "compare": "experiments",
    "distributed_headers": "tracing",
    "evaluate": "evaluation",
    "evaluate_experiment": "evaluation",
    "evaluate_on_dict_items": "evaluation",
    "evaluate_prompt": "evaluation",
    "evaluate_resume": "evaluation",
    "flush_tracker": "tracing",
    "get_model": "models",
    "is_tracing_active": "tracing",
    "llm_unit": "pytest_plugin.unit",
    "open_storage": "storage.opening",
    "reset_tracing_to_config_default": "tracing",
    "run_simulation": "simulation",
    "set_tracing_active": "tracing",
    "start_as_current_span": "tracing",
    "start_as_current_trace": "tracing",
    "track": "tracing",
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
    "SimulatedUser",
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
    "llm_unit",
    "open_storage",
    "reset_tracing_to_config_default",
    "run_simulation",
    "set_tracing_active",
    "start_as_current_span",
    "start_as_current_trace",
    "track",
]


__getattr__, __dir__ = lazily(__name__, _HOMES)
