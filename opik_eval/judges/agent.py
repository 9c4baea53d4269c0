"""Judges of what an agent did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.judges.base import Judge
from opik_eval.metrics.base import ScoreResult


@dataclass
class TrajectoryAccuracy(Judge):
    """How well the steps of an agent lead to its goal, 0 to 1.

    Example:
        >>> TrajectoryAccuracy(model="openai/gpt-5-nano").name
        'trajectory_accuracy_metric'
    """

    prompt: ClassVar[str] = "trajectory_accuracy"

    name: str = field(default="trajectory_accuracy_metric", kw_only=True)

    async def ascore(
        self, goal: object, trajectory: Sequence[object], final_result: object, **_ignored: object
    ) -> ScoreResult:
        """Judge a trajectory.

        Args:
            goal: What the agent was to reach.
            trajectory: Its steps, such as ``{"thought": ..., "action": ..., "observation": ...}``.
            final_result: What came out.
        """
        return await self.ask(goal=goal, trajectory=trajectory, final_result=final_result)


__all__ = ["TrajectoryAccuracy"]
