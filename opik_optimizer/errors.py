"""Errors of the optimizers, on the tree of ``opik_eval.errors``.

OptimizerError
├── SettingsError               an argument of an optimizer makes no sense (also a ConfigError)
├── BudgetExhaustedError        the next step does not fit the budget (also a BudgetExceededError)
├── AgentError                  the agent failed or answered with nothing usable (also a TaskError)
├── ObjectiveError              the metric gave no score (also a MetricError)
├── ResultError                 a saved result cannot be read
├── ToolError                   a tool definition is wrong, or its server out of reach
└── ReflectionError             the reflection model did not answer with a usable proposal
    └── WeakReflectionError     it never did: the model is too weak for the task
        └── NoReflectionError   it never answered at all: its calls fail
"""

from __future__ import annotations

from typing import ClassVar

from opik_eval.errors import (
    BudgetExceededError,
    ConfigError,
    MetricError,
    OpikEvalError,
    TaskError,
)


class OptimizerError(OpikEvalError):
    """Base of every error an optimizer raises on purpose."""


class SettingsError(OptimizerError, ConfigError):
    """An argument of an optimizer makes no sense."""


class BudgetExhaustedError(OptimizerError, BudgetExceededError):
    """The next step does not fit what is left of the budget; nothing of it was done."""


class AgentError(OptimizerError, TaskError):
    """The agent failed, or answered with nothing that can be scored."""


class ObjectiveError(OptimizerError, MetricError):
    """The metric gave no score for an output."""


class ResultError(OptimizerError):
    """A saved result cannot be read."""


class ToolError(OptimizerError):
    """A tool definition is wrong, or the server behind it cannot be reached."""


class ReflectionError(OptimizerError):
    """The reflection model did not answer with a usable proposal.

    Args:
        message: What is wrong with the answer.
        reply: The answer as it came; ``None`` if the call itself failed.
        remedy: What to do about it.
    """

    def __init__(
        self, message: str, *, reply: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.reply = reply


class WeakReflectionError(ReflectionError):
    """None of the first proposals was usable: the reflection model is too weak for the task."""

    stop_reason: ClassVar[str] = "weak_reflection_model"


class NoReflectionError(WeakReflectionError):
    """The first calls of the reflection model all failed: nobody knows what it can do."""

    stop_reason: ClassVar[str] = "no_reflection_model"


__all__ = [
    "AgentError",
    "BudgetExhaustedError",
    "NoReflectionError",
    "ObjectiveError",
    "OptimizerError",
    "ReflectionError",
    "ResultError",
    "SettingsError",
    "ToolError",
    "WeakReflectionError",
]
