"""Evaluate LLM applications on a laptop, with honest statistics.

Names are resolved on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval import opik_context
    from opik_eval.client import ChatPrompt, Opik, Prompt
    from opik_eval.client import SpanHandle as Span
    from opik_eval.client import TraceHandle as Trace
    from opik_eval.client.configure import configure
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
    from opik_eval.experiments import (
        EvaluationResult,
        ExperimentItemContent,
        ExperimentItemReferences,
        compare,
    )
    from opik_eval.models import Budget, get_model
    from opik_eval.opik_context import update_current_span, update_current_trace
    from opik_eval.prompts import PromptType
    from opik_eval.pytest_plugin.unit import llm_unit
    from opik_eval.simulation import SimulatedUser, run_simulation
    from opik_eval.storage.opening import open_storage
    from opik_eval.tracing import (
        Attachment,
        distributed_headers,
        flush_tracker,
        is_tracing_active,
        project_context,
        reset_tracing_to_config_default,
        set_tracing_active,
        start_as_current_span,
        start_as_current_trace,
        track,
    )

__version__ = "0.1.0"

_HOMES: dict[str, str | tuple[str, str]] = {
    "Attachment": "tracing",
    "Budget": "models",
    "ChatPrompt": "client",
    "Dataset": "datasets.dataset",
    "ErrorTolerance": "evaluation",
    "EvaluationResult": "experiments",
    "ExperimentItemContent": "experiments",
    "ExperimentItemReferences": "experiments",
    "Opik": "client",
    "OpikEvalError": "errors",
    "Prompt": "client",
    "PromptType": "prompts",
    "RandomDatasetSampler": "datasets.sampling",
    "SimulatedUser": "simulation",
    "Span": ("client", "SpanHandle"),
    "Trace": ("client", "TraceHandle"),
    "aevaluate": "evaluation",
    "compare": "experiments",
    "configure": "client.configure",
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
    "opik_context": "opik_context",
    "project_context": "tracing",
    "reset_tracing_to_config_default": "tracing",
    "run_simulation": "simulation",
    "set_tracing_active": "tracing",
    "start_as_current_span": "tracing",
    "start_as_current_trace": "tracing",
    "track": "tracing",
    "update_current_span": "opik_context",
    "update_current_trace": "opik_context",
}

__all__ = [
    "Attachment",
    "Budget",
    "ChatPrompt",
    "Dataset",
    "ErrorTolerance",
    "EvaluationResult",
    "ExperimentItemContent",
    "ExperimentItemReferences",
    "Opik",
    "OpikEvalError",
    "Prompt",
    "PromptType",
    "RandomDatasetSampler",
    "SimulatedUser",
    "Span",
    "Trace",
    "aevaluate",
    "compare",
    "configure",
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
    "opik_context",
    "project_context",
    "reset_tracing_to_config_default",
    "run_simulation",
    "set_tracing_active",
    "start_as_current_span",
    "start_as_current_trace",
    "track",
    "update_current_span",
    "update_current_trace",
]


__getattr__, __dir__ = lazily(__name__, _HOMES)
