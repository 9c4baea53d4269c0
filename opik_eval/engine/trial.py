"""Which trial is running: tasks that sample a model use it to sample anew in every trial."""

from __future__ import annotations

from opik_eval.models.context import current_repeat, enter_repeat


def current_trial() -> int:
    """Return the index of the running trial, 0 outside of an evaluation."""
    return current_repeat()


def enter_trial(trial: int) -> None:
    """Set the index for the rest of this context; each unit runs in a context of its own."""
    enter_repeat(trial)
