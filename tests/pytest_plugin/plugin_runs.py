"""What runs of the plug-in left behind."""

from __future__ import annotations

from pathlib import Path

from opik_eval.experiments import EvaluationResult


def outcomes(result: EvaluationResult) -> dict[str, float | None]:
    """Return the score ``Passed`` by test."""
    return {
        str(row.test_case.dataset_item_content["test"]): next(
            (score.value for score in row.score_results if score.name == "Passed"), None
        )
        for row in result.test_results
    }


def written(folder: Path) -> list[str]:
    """Return the baselines under a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("baselines/*/*.json"))
