"""Which trial is running: tasks that sample a model use it to sample anew in every trial."""

from __future__ import annotations

from contextvars import ContextVar

_trial: ContextVar[int] = ContextVar("opik_eval_trial", default=0)


def current_trial() -> int:
    """Return the index of the running trial, 0 outside of an evaluation."""
    return _trial.get()


def enter_trial(trial: int) -> None:
    """Set the index for the rest of this context; each unit runs in a context of its own."""
    _trial.set(trial)
