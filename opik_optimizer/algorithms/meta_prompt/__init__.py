"""Meta-prompting: a model writes prompts from the scored history and what went wrong."""

from opik_optimizer.algorithms.meta_prompt.optimizer import MetaPromptOptimizer

__all__ = ["MetaPromptOptimizer"]
