"""Prompt optimizers on top of ``opik_eval``: honest, parallel, resumable.

Names are resolved on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_optimizer import datasets
    from opik_optimizer.agent import OptimizableAgent
    from opik_optimizer.budget import Budget
    from opik_optimizer.chain import Chain
    from opik_optimizer.errors import OptimizerError
    from opik_optimizer.guards import GuardSettings
    from opik_optimizer.objective import MultiMetricObjective, ObservedObjective
    from opik_optimizer.optimizer import BaseOptimizer
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.result import OptimizationResult

_HOMES = {
    "BaseOptimizer": "optimizer",
    "Budget": "budget",
    "Chain": "chain",
    "ChatPrompt": "prompt",
    "EvolutionaryOptimizer": "algorithms.evolutionary",
    "FewShotBayesianOptimizer": "algorithms.few_shot_bayesian",
    "GepaOptimizer": "algorithms.gepa",
    "GuardSettings": "guards",
    "HRPO": "algorithms.hierarchical_reflective",
    "HierarchicalReflectiveOptimizer": "algorithms.hierarchical_reflective",
    "MetaPromptOptimizer": "algorithms.meta_prompt",
    "MultiMetricObjective": "objective",
    "ObservedObjective": "objective",
    "OptimizableAgent": "agent",
    "OptimizationResult": "result",
    "OptimizerError": "errors",
    "ParameterOptimizer": "algorithms.parameter",
    "ParameterSearchSpace": "space",
    "ParameterSpec": "parameter_spec",
    "datasets": "datasets",
}

__all__ = [
    "HRPO",
    "BaseOptimizer",
    "Budget",
    "Chain",
    "ChatPrompt",
    "EvolutionaryOptimizer",
    "FewShotBayesianOptimizer",
    "GepaOptimizer",
    "GuardSettings",
    "HierarchicalReflectiveOptimizer",
    "MetaPromptOptimizer",
    "MultiMetricObjective",
    "ObservedObjective",
    "OptimizableAgent",
    "OptimizationResult",
    "OptimizerError",
    "ParameterOptimizer",
    "ParameterSearchSpace",
    "ParameterSpec",
    "datasets",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
